"""A model as a web server: a page, and routes that answer with the rows of `vit predict` and `vit embed`.

client ─► guard ─► app ─► inputs ─► service ─► decoding processes ─┐
          (host, token,   (parts,              (guarded, several)   ▼
           size, time)     names)              one thread with the model: batches
"""
