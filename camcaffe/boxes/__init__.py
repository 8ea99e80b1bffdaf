"""Boxes from heat maps: the authors' two programs, the paper's rule, and the loose/tight heuristic."""

from camcaffe.boxes.convention import corners_to_xywh, xywh_to_corners
from camcaffe.boxes.drawing import bbox_picture, draw_boxes
from camcaffe.boxes.dt_box import AUTHORS_THRESHOLDS, DEFAULT_THRESHOLDS, accepted_thresholds, dt_boxes
from camcaffe.boxes.graph_cut import graph_cut_boxes
from camcaffe.boxes.largest_component import largest_component_box
from camcaffe.boxes.loose_tight import LooseTight, loose_tight

__all__ = [
    "AUTHORS_THRESHOLDS",
    "DEFAULT_THRESHOLDS",
    "LooseTight",
    "accepted_thresholds",
    "bbox_picture",
    "corners_to_xywh",
    "draw_boxes",
    "dt_boxes",
    "graph_cut_boxes",
    "largest_component_box",
    "loose_tight",
    "xywh_to_corners",
]
