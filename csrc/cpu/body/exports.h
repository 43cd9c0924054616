// The kernels of the instruction set MIME_FAST_SET, each in the body of its name. Without a guard: tables.h includes
// this for every set.
namespace mime_fast::MIME_FAST_SET {

std::size_t row_words(Precision precision, std::size_t inputs);
void prepare(const PackedMatrix& weight, const float* x, std::size_t x_stride, std::size_t rows, std::uint32_t* words,
             float* scale, float* along);
void gemm(const GemmArgs& args);
void vocab_topk(const VocabArgs& args);
void screen_rows(const ScreenRowsArgs& args);
void screen(const ScreenArgs& args);
void exact_logits(const ExactArgs& args);
void attention(const AttentionArgs& args);
void chain_attention(const ChainArgs& args);
void layer_norm(const NormArgs& args);
void apply_gate(const float* gate, float* both, std::size_t rows, std::size_t size, float* share);
void exponentials(const float* x, std::size_t count, float shift, float factor, float* out);
double peak(Precision precision, double seconds);

constexpr Kernels table(const char* name, Isa isa) {
  return {name,         int8_range_of(isa), row_words,       prepare,    gemm,       vocab_topk,   screen_rows, screen,
          exact_logits, attention,          chain_attention, layer_norm, apply_gate, exponentials, peak};
}

}  // namespace mime_fast::MIME_FAST_SET
