"""The scene of an edit and its faces: the only package that describes a face, a box or a frame.

    geometry      boxes and their overlaps
    faces         faces of one picture; a person's identity
    choice        which face of a picture is meant
    face_search   faces of pictures of any size, with closer looks
    person        the character's face and identity, over all pictures of the character
    target        the face of the scene that is replaced, and the frame around it
    frame         the part of a scene that is worked on

It knows nothing of requests, searches or Triton. The programs in `eacps.models.faces` run within Triton and may not
import it: what they know of a face is a row of their tensors (`eacps.tensors`).
"""
