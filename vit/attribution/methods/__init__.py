"""The attribution methods, a module each; `vit.attribution.roster` lists them."""
