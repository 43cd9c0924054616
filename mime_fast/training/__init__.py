from mime_fast.extras import require

require("torch", "training")
