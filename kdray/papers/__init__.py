"""The papers' tables and figures: published numbers beside the runs that reproduce them."""

from kdray.papers.published import Published, every_published, published
from kdray.papers.recipes import CORPORA, RECIPES, SIZES, Recipe, Scale

__all__ = ["CORPORA", "RECIPES", "SIZES", "Published", "Recipe", "Scale", "every_published", "published"]
