import pytest
import torch
from diffusers.models.transformers.transformer_qwenimage import QwenEmbedRope
from PIL import Image
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index

from eacps.models.backbones.qwen_image_edit.positions import mrope_positions
from eacps.models.backbones.qwen_image_edit.preprocessing import condition_patches
from eacps.models.backbones.qwen_image_edit.prompt import edit_prompt, judge_prompt
from eacps.models.backbones.qwen_image_edit.rope import image_rope, text_rope
from eacps.models.backbones.qwen_image_edit.tokens import TextReader, collate
from eacps.models.backbones.qwen_image_edit.vision_tables import vision_rope, vision_windows
from eacps.models.checkpoint_config import TOKENIZER_FILE
from tests.models.studio import Studio, picture

PAD = 7


@pytest.mark.parametrize("grids", [[(8, 8)], [(8, 8), (6, 10)], [(5, 7), (3, 3), (64, 48)]])
def test_rotary_tables_are_those_of_the_transformer(grids: list[tuple[int, int]]) -> None:
    theirs = QwenEmbedRope(theta=10000, axes_dim=[16, 56, 56], scale_rope=True)
    image, text = theirs([[(1, *grid) for grid in grids]], max_txt_seq_len=33)
    torch.testing.assert_close(image_rope(grids, (16, 56, 56), 10000), torch.view_as_real(image), rtol=0, atol=1e-6)
    torch.testing.assert_close(text_rope(33, grids, (16, 56, 56), 10000), torch.view_as_real(text), rtol=0, atol=1e-6)


# Whole windows of 4x4 patches, and windows at the rim that hold fewer.
@pytest.mark.parametrize("grid", [(8, 8), (4, 8), (6, 10), (10, 4)])
def test_vision_tables_are_those_of_the_vision_tower(studio: Studio, grid: tuple[int, int]) -> None:
    visual, vision = studio.pipeline.text_encoder.model.visual, studio.config.vision
    thw = torch.tensor([[1, *grid]])
    cos, sin = visual.rotary_pos_emb(torch.zeros(()), get_vision_position_ids(thw, vision.merge_size))
    ours = vision_rope(*grid, vision)
    torch.testing.assert_close(torch.cat([ours, ours], dim=1).unbind(-1), (cos, sin), rtol=0, atol=1e-6)
    order, ends = get_vision_window_index(
        thw, spatial_merge_size=vision.merge_size, window_size=vision.window_size, patch_size=vision.patch_size
    )
    tokens = vision_windows(*grid, vision).reshape(-1, vision.merge_size**2)
    assert (tokens == tokens[:, :1]).all(), "the patches of a token lie in one window"
    # The original sorts tokens by window and cuts the row into slices.
    slices = torch.tensor_split(order, ends[1:-1].to(torch.long) // vision.merge_size**2)
    assert [len(tokens[one, 0].unique()) for one in slices] == [1] * len(slices)
    assert len(tokens.unique()) == len(slices)


@pytest.mark.parametrize("grids", [[], [(4, 4)], [(2, 5), (6, 3)]])
def test_positions_are_those_of_transformers(studio: Studio, grids: list[tuple[int, int]]) -> None:
    ids = [1, 2, 3]
    for rows, columns in grids:
        ids += [PAD] * (rows * columns) + [4, 5]
    tokens = torch.tensor([ids])
    theirs, _ = studio.pipeline.text_encoder.model.get_rope_index(
        tokens,
        mm_token_type_ids=(tokens == PAD).int(),
        image_grid_thw=torch.tensor([[1, 2 * rows, 2 * columns] for rows, columns in grids]),
    )
    assert torch.equal(mrope_positions(ids, PAD, grids), theirs[:, 0])


@pytest.mark.parametrize("grids", [[], [(2, 3)], [(2, 2), (2, 2)]])
def test_picture_tokens_that_do_not_match_the_pictures_are_refused(grids: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="picture"):
        mrope_positions([1, PAD, PAD, PAD, PAD, 2], PAD, grids)


@pytest.mark.parametrize("pictures", [1, 2])
def test_a_text_with_pictures_reads_as_the_processor_reads_it(studio: Studio, pictures: int) -> None:
    text = edit_prompt(studio.config.edit_template, "make the person smile", pictures)
    shown = [picture(seed) for seed in range(pictures)]
    patches = [condition_patches(one, studio.config.condition_image_area, studio.config.vision) for one in shown]
    item = TextReader(studio.assets / TOKENIZER_FILE).read(text, patches)
    theirs = studio.pipeline.processor(text=[text], images=[Image.fromarray(one) for one in shown])
    assert torch.equal(item.input_ids, theirs["input_ids"][0])
    torch.testing.assert_close(item.pixel_values.flatten(0, 1), theirs["pixel_values"], rtol=0, atol=1e-6)
    assert torch.equal(item.image_index > 0, theirs["mm_token_type_ids"][0] == 1)
    assert item.image_index.max() == 16 * pictures
    positions, _ = studio.pipeline.text_encoder.model.get_rope_index(
        theirs["input_ids"], theirs["mm_token_type_ids"], theirs["image_grid_thw"]
    )
    assert torch.equal(item.position_ids, positions[:, 0])


async def test_padding_on_the_right_changes_no_hidden_state(studio: Studio) -> None:
    reader, vision = TextReader(studio.assets / TOKENIZER_FILE), studio.config.vision
    patches = condition_patches(picture(1), studio.config.condition_image_area, vision)
    questions = ("Is the mouth open?", "Does the person look happy or does the person look sad?")
    items = [reader.read(judge_prompt(question, 1), [patches]) for question in questions]
    assert items[0].length < items[1].length
    together = await studio.encode_text(collate(items))
    for row, item in enumerate(items):
        alone = await studio.encode_text(collate([item]))
        torch.testing.assert_close(together[row, : item.length], alone[0], rtol=0, atol=1e-5)
