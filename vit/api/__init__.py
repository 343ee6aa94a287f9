"""What the commands do, as functions: `vit.predict`, `vit.embed`, `vit.train`, `vit.evaluate`, `vit.table`.

The modules import what is slow inside their functions, so that `from vit import predict` loads no torch.
"""
