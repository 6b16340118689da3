"""Qwen-Image-Edit, -2509 and -2511, and what is made of them: as diffusers' QwenImageEdit(Plus)Pipeline does it."""
