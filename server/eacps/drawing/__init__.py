"""Pictures about a search: a contact sheet of its candidates, a plot of its progress, and the faces of a picture."""

from eacps.drawing.contact_sheet import SentInputs, draw_contact_sheet
from eacps.drawing.encoding import png_of_drawing
from eacps.drawing.face_boxes import draw_face_boxes
from eacps.drawing.review_page import ReviewedSearch, embedded, render_review
from eacps.drawing.search_plot import draw_search_plot

__all__ = [
    "ReviewedSearch",
    "SentInputs",
    "draw_contact_sheet",
    "draw_face_boxes",
    "draw_search_plot",
    "embedded",
    "png_of_drawing",
    "render_review",
]
