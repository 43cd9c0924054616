from mime_fast.extras import require

require("torch", "the GPU kernels and their twins")
