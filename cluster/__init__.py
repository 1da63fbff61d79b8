"""How schedulers and workers come to be: one file a recipe. Nothing in `rsmtl` knows them."""
