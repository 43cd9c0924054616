from mime_fast.extras import require

require("torch", "the GPU back end")
