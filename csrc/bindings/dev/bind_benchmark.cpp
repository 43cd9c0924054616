// The kernels on their own, for benchmarks.

#include <algorithm>
#include <ctime>
#include <limits>
#include <vector>

#include "bindings/checks.h"
#include "bindings/dev/parts.h"
#include "bindings/names.h"

namespace mime_fast {
namespace {

constexpr std::size_t kInputs = 300;
constexpr std::size_t kVocabulary = 24640;

// Numbers in [-1, 1) that look random.
class Numbers {
 public:
  float next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(state_ >> 40) * 0x1p-23f - 1.0f;
  }
  std::vector<float> many(std::size_t count) {
    std::vector<float> values(count);
    for (float& value : values) value = next();
    return values;
  }

 private:
  std::uint64_t state_ = 1;
};

// Activations [rows, kInputs] for a matrix.
struct Activations {
  Activations(const Kernels& table, const PackedMatrix& weight, std::size_t rows, Numbers& numbers)
      : words(rows * table.row_words(weight.precision, kInputs)), scales(rows), along(rows) {
    const std::vector<float> x = numbers.many(rows * kInputs);
    table.prepare(weight, x.data(), kInputs, rows, words.data(), scales.data(), along.data());
    view = {words.data(), table.row_words(weight.precision, kInputs), scales.data(), along.data()};
  }
  AlignedVector<std::uint32_t> words;
  std::vector<float> scales, along;
  Rows view;
};

// Seconds that this thread has computed: those in which others had the core do not count.
double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Median CPU seconds of `once`, repeated for about `seconds`; short ones are timed together, as reading the clock takes
// a third of a microsecond.
template <typename Once>
double median_seconds(double seconds, Once once) {
  constexpr double kShortest = 1e-4;
  std::vector<double> took;
  std::size_t together = 1;
  const double start = thread_seconds();
  for (double before = start; before - start < seconds || took.size() < 3;) {
    for (std::size_t i = 0; i < together; ++i) once();
    const double after = thread_seconds();
    if (after - before < kShortest) {
      together *= 2;
    } else {
      took.push_back((after - before) / static_cast<double>(together));
    }
    before = after;
  }
  std::sort(took.begin(), took.end());
  return took[took.size() / 2];
}

double time_vocab_topk(const Kernels& table, Precision precision, std::size_t rows, double seconds) {
  Numbers numbers;
  const std::vector<float> weight = numbers.many(kVocabulary * kInputs), bias = numbers.many(kVocabulary);
  const PackedMatrix packed =
      pack_vocabulary({precision, table.int8_range}, weight.data(), kVocabulary, kInputs, bias.data(), kBlock);
  const Activations x(table, packed, rows, numbers);
  const std::size_t k = 10, capacity = top_capacity(k);
  const std::size_t chunks = (packed.padded / kBlock + kChunkBlocks - 1) / kChunkBlocks;
  const std::vector<std::uint64_t> allowed(packed.padded / kBlock, ~std::uint64_t{0});
  std::vector<Scored> kept(rows * capacity);
  std::vector<TopTokens> tops(rows);
  std::vector<PartialSum> partial(rows * chunks);
  return median_seconds(seconds, [&] {
    for (std::size_t row = 0; row < rows; ++row) {
      tops[row] = {-std::numeric_limits<float>::infinity(), k, 0, capacity, kept.data() + row * capacity, nullptr, 0};
    }
    VocabArgs args{};
    args.weight = &packed;
    args.allowed = allowed.data();
    args.x = x.view;
    args.rows = rows;
    args.top = tops.data();
    args.partial = partial.data();
    args.chunks = chunks;
    args.last_chunk = chunks;
    table.vocab_topk(args);
  });
}

double time_gemm(const Kernels& table, Precision precision, std::size_t rows, double seconds) {
  Numbers numbers;
  const std::vector<float> weight = numbers.many(kInputs * kInputs);
  const PackedMatrix packed = pack({precision, table.int8_range}, weight.data(), kInputs, kInputs, kInputs, nullptr);
  const Activations x(table, packed, rows, numbers);
  AlignedVector<float> out(rows * kInputs);
  GemmArgs args{};
  args.weight = &packed;
  args.x = x.view;
  args.rows = rows;
  args.out = out.data();
  args.out_stride = kInputs;
  return median_seconds(seconds, [&] { table.gemm(args); });
}

double benchmark_kernel(const std::string& name, const std::string& precision, std::int64_t rows,
                        const std::string& isa, double seconds) {
  const Kernels& table = kernels(checked_isa(isa));
  const Precision wanted = checked_precision(precision);
  const auto count = static_cast<std::size_t>(checked_range("rows", rows, 1, kMaxVocabRows));
  const bool vocabulary = name == "vocab_topk";
  if (!vocabulary && name != "gemm") throw py::value_error("name='" + name + "': must be 'vocab_topk' or 'gemm'");
  const py::gil_scoped_release release;
  const double took =
      vocabulary ? time_vocab_topk(table, wanted, count, seconds) : time_gemm(table, wanted, count, seconds);
  const double operations = 2.0 * static_cast<double>(count) * kInputs * (vocabulary ? kVocabulary : kInputs);
  return operations / took / 1e9;
}

double peak(const std::string& precision, const std::string& isa, double seconds) {
  const Kernels& table = kernels(checked_isa(isa));
  const Precision wanted = checked_precision(precision);
  const py::gil_scoped_release release;
  return table.peak(wanted, seconds) / 1e9;
}

}  // namespace

void bind_benchmark(py::module_& module) {
  module.def(
      "benchmark_kernel", &benchmark_kernel, py::arg("name"), py::arg("precision"), py::arg("rows"),
      py::arg("isa") = "auto", py::arg("seconds") = 0.2,
      "GFLOP/s of one thread in 'vocab_topk' (300 to 24,640, 10 best) or 'gemm' (300 to 300) on random numbers.");
  module.def("peak", &peak, py::arg("precision"), py::arg("isa") = "auto", py::arg("seconds") = 0.2,
             "GFLOP/s of one thread in a precision's inner loop when all stays in registers.");
}

}  // namespace mime_fast
