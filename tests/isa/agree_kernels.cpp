#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "checks.h"

namespace mime_fast {
namespace {

constexpr Precision kPrecisions[] = {Precision::kFloat32, Precision::kBfloat16, Precision::kInt8};
const char* const kNames[] = {"float32", "bfloat16", "int8"};
constexpr float kSumBounds[] = {1e-5f, 2e-5f, 1.6e-4f};  // twice what exp2 may be off (csrc/cpu/body/math.h), and more
constexpr std::uint64_t kAllowed = 0xFEFFFFFFFFFFFFFEull;  // words of each block that may enter
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Greatest difference; not a number where one is and the other is not.
float difference(const std::vector<float>& a, const std::vector<float>& b) {
  float most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (a[i] == b[i]) continue;
    const float apart = std::fabs(a[i] - b[i]);
    if (!(apart <= most)) most = apart;
  }
  return most;
}

struct Prepared {
  Prepared(const Kernels& table, const PackedMatrix& weight, const std::vector<float>& x, std::size_t rows)
      : words(rows * table.row_words(weight.precision, weight.inputs)), scale(rows), along(rows) {
    table.prepare(weight, x.data(), weight.inputs, rows, words.data(), scale.data(), along.data());
    view = {words.data(), table.row_words(weight.precision, weight.inputs), scale.data(), along.data()};
  }
  AlignedVector<std::uint32_t> words;
  std::vector<float> scale, along;
  Rows view;
};

std::vector<float> product(const Kernels& table, const PackedMatrix& weight, const std::vector<float>& x,
                           std::size_t rows, Activation activation, const std::vector<float>& residual) {
  const Prepared prepared(table, weight, x, rows);
  std::vector<float> out(rows * weight.outputs, std::numeric_limits<float>::quiet_NaN());
  GemmArgs args{};
  args.weight = &weight;
  args.x = prepared.view;
  args.rows = rows;
  args.out = out.data();
  args.out_stride = weight.outputs;
  args.residual = residual.empty() ? nullptr : residual.data();
  args.residual_stride = weight.outputs;
  args.activation = activation;
  table.gemm(args);
  return out;
}

// One output of an int8 matrix for a row of K activations, number by number.
double by_hand(const Kernels& table, const PackedMatrix& weight, std::size_t output, const float* x) {
  float largest = 0;
  for (std::size_t i = 0; i < weight.inputs; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float scale = largest / static_cast<float>(activation_steps(table.int8_range)), factor = 1.0f / scale;
  const std::uint32_t* first = weight.panels.data() + output / kPanelWidth * weight.panel_words + output % kPanelWidth;
  double sum = 0, along = 0;
  for (std::size_t i = 0; i < weight.inputs; ++i) {
    std::int8_t bytes[4];
    std::memcpy(bytes, first + i / 4 * kPanelWidth, sizeof bytes);
    sum += bytes[i % 4] * std::nearbyint(static_cast<double>(x[i]) * static_cast<double>(factor));
    if (!weight.axis.empty()) along += static_cast<double>(weight.axis[i]) * static_cast<double>(x[i]);
  }
  const double loading = weight.axis.empty() ? 0 : static_cast<double>(weight.loading[output]);
  return sum * static_cast<double>(scale) * static_cast<double>(weight.scale[output]) +
         static_cast<double>(weight.bias[output]) + loading * along;
}

double activated(double y, Activation activation) {
  if (activation == Activation::kSigmoid) return 1.0 / (1.0 + std::exp(-y));
  return activation == Activation::kRelu ? std::max(y, 0.0) : y;
}

std::vector<float> product_by_hand(const Kernels& table, const PackedMatrix& weight, const std::vector<float>& x,
                                   std::size_t rows, Activation activation, const std::vector<float>& residual) {
  std::vector<float> out(rows * weight.outputs);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double y = by_hand(table, weight, i % weight.outputs, x.data() + i / weight.outputs * weight.inputs);
    out[i] = static_cast<float>(activated(y, activation)) + (residual.empty() ? 0.0f : residual[i]);
  }
  return out;
}

void check_gemm(const Kernels& table, const Kernels& plain) {
  unsigned seed = 0;
  for (const std::size_t inputs : {1, 2, 7, 8, 37, 300}) {
    for (const std::size_t outputs : {1, 15, 16, 33, 100}) {
      for (const std::size_t rows : {1, 2, 3, 4, 5, 7, 13}) {
        for (const Precision precision : kPrecisions) {
          const auto w = numbers(outputs * inputs, ++seed, 1.0f / std::sqrt(static_cast<float>(inputs)));
          const auto bias = numbers(outputs, ++seed), x = numbers(rows * inputs, ++seed);
          const auto residual = seed % 2 == 0 ? numbers(rows * outputs, ++seed) : std::vector<float>();
          const auto activation = static_cast<Activation>(seed % 3);
          const PackedMatrix weight =
              pack({precision, table.int8_range}, w.data(), outputs, inputs, inputs, bias.data());
          const auto found = product(table, weight, x, rows, activation, residual);
          const auto expected = precision == Precision::kInt8
                                    ? product_by_hand(table, weight, x, rows, activation, residual)
                                    : product(plain, weight, x, rows, activation, residual);
          const std::string what = std::string("gemm ") + kNames[static_cast<int>(precision)] + " " +
                                   std::to_string(rows) + " x " + std::to_string(inputs) + " x " +
                                   std::to_string(outputs);
          expect(difference(found, expected) < 2e-5f, table.isa, what);
          for (std::size_t row = 0; row < rows; ++row) {  // bit for bit the same alone
            const std::vector<float> one(x.begin() + static_cast<std::ptrdiff_t>(row * inputs),
                                         x.begin() + static_cast<std::ptrdiff_t>((row + 1) * inputs));
            std::vector<float> beside;
            if (!residual.empty())
              beside.assign(residual.begin() + static_cast<std::ptrdiff_t>(row * outputs),
                            residual.begin() + static_cast<std::ptrdiff_t>((row + 1) * outputs));
            const auto alone = product(table, weight, one, 1, activation, beside);
            expect(std::memcmp(alone.data(), found.data() + row * outputs, outputs * sizeof(float)) == 0, table.isa,
                   what + ": row " + std::to_string(row) + " alone is another");
          }
        }
      }
    }
  }
}

struct Looked {
  std::vector<Scored> best;
  std::vector<float> log_sums, target_logits, logits;
};

Looked look(const Kernels& table, const PackedMatrix& weight, const std::vector<float>& x, std::size_t rows,
            std::size_t k) {
  const Prepared prepared(table, weight, x, rows);
  const std::size_t chunks = (weight.padded / kBlock + kChunkBlocks - 1) / kChunkBlocks, capacity = top_capacity(k);
  std::vector<std::uint64_t> allowed(weight.padded / kBlock, kAllowed);
  std::vector<Scored> kept(rows * capacity);
  std::vector<TopTokens> top(rows);
  std::vector<PartialSum> partial(rows * chunks);
  std::vector<std::int32_t> targets(rows, -1);
  Looked found{{}, {}, std::vector<float>(rows), std::vector<float>(rows * weight.padded)};
  for (std::size_t row = 0; row < rows; ++row) {
    top[row].threshold = -kInfinity;
    top[row].k = k;
    top[row].capacity = capacity;
    top[row].kept = kept.data() + row * capacity;
    targets[row] = static_cast<std::int32_t>((row * 37) % weight.outputs);
  }
  VocabArgs args{&weight,
                 allowed.data(),
                 prepared.view,
                 rows,
                 top.data(),
                 targets.data(),
                 found.target_logits.data(),
                 partial.data(),
                 chunks,
                 0,
                 chunks,
                 found.logits.data()};
  table.vocab_topk(args);
  for (std::size_t row = 0; row < rows; ++row) {
    prune(top[row]);
    std::sort(top[row].kept, top[row].kept + top[row].count, ranks_before);
    found.best.insert(found.best.end(), top[row].kept, top[row].kept + top[row].count);
    double sum = 0;
    for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
      const PartialSum& part = partial[row * chunks + chunk];
      sum += part.sum * std::exp(static_cast<double>(part.shift));
    }
    found.log_sums.push_back(static_cast<float>(std::log(sum)));
  }
  return found;
}

Looked look_by_hand(const Kernels& table, const PackedMatrix& weight, const std::vector<float>& x, std::size_t rows,
                    std::size_t k) {
  Looked found{{}, {}, std::vector<float>(rows), std::vector<float>(rows * weight.padded, -kInfinity)};
  for (std::size_t row = 0; row < rows; ++row) {
    float* logits = found.logits.data() + row * weight.padded;
    std::vector<Scored> best;
    double sum = 0;
    for (std::size_t token = 0; token < weight.outputs; ++token) {
      const double logit = by_hand(table, weight, token, x.data() + row * weight.inputs);
      logits[token] = static_cast<float>(logit);
      sum += std::exp(logit);
      if (kAllowed >> token % kBlock & 1) best.push_back({logits[token], static_cast<std::int32_t>(token)});
    }
    std::sort(best.begin(), best.end(), ranks_before);
    best.resize(std::min(k, best.size()));
    found.best.insert(found.best.end(), best.begin(), best.end());
    found.log_sums.push_back(static_cast<float>(std::log(sum)));
    found.target_logits[row] = logits[row * 37 % weight.outputs];
  }
  return found;
}

void check_vocabulary(const Kernels& table, const Kernels& plain) {
  unsigned seed = 1000;
  for (const std::size_t words : {5, 64, 1030, 2100}) {
    for (const std::size_t rows : {1, 2, 3, 5, 8, 20}) {
      for (const Precision precision : kPrecisions) {
        const std::size_t inputs = 51;
        const auto w = numbers(words * inputs, ++seed, 0.3f), bias = numbers(words, ++seed);
        const auto x = numbers(rows * inputs, ++seed);
        const PackedMatrix weight =
            pack_vocabulary({precision, table.int8_range}, w.data(), words, inputs, bias.data(), kBlock);
        for (const std::size_t k : {4, 40}) {
          const Looked found = look(table, weight, x, rows, k);
          const Looked expected =
              precision == Precision::kInt8 ? look_by_hand(table, weight, x, rows, k) : look(plain, weight, x, rows, k);
          const std::string what = std::string("vocab_topk ") + kNames[static_cast<int>(precision)] + " " +
                                   std::to_string(rows) + " x " + std::to_string(words) + ", k = " + std::to_string(k);
          bool same = found.best.size() == expected.best.size();
          for (std::size_t i = 0; same && i < found.best.size(); ++i) {
            same = std::fabs(found.best[i].logit - expected.best[i].logit) < 2e-5f;
          }
          expect(same, table.isa, what + ": other words");
          expect(difference(found.log_sums, expected.log_sums) < kSumBounds[static_cast<int>(precision)], table.isa,
                 what + ": another log-sum-exp");
          expect(difference(found.logits, expected.logits) < 2e-5f, table.isa, what + ": other logits");
          expect(difference(found.target_logits, expected.target_logits) < 2e-5f, table.isa, what + ": other targets");
        }
      }
    }
  }
}

void check_rows(const Kernels& table, const Kernels& plain) {
  for (const std::size_t size : {1, 3, 4, 16, 21, 300}) {
    const auto x = numbers(7 * size, static_cast<unsigned>(size)), weight = numbers(size, 1), bias = numbers(size, 2);
    std::vector<float> found(x.size()), expected(x.size());
    for (const bool unbiased : {false, true}) {
      if (size == 1) continue;
      table.layer_norm({x.data(), size, weight.data(), bias.data(), 7, size, unbiased, found.data(), size});
      plain.layer_norm({x.data(), size, weight.data(), bias.data(), 7, size, unbiased, expected.data(), size});
      expect(difference(found, expected) < 2e-5f, table.isa, "layer_norm " + std::to_string(size));
    }
    table.exponentials(x.data(), x.size(), 0.5f, 3.0f, found.data());
    plain.exponentials(x.data(), x.size(), 0.5f, 3.0f, expected.data());
    for (std::size_t i = 0; i < x.size(); ++i) found[i] /= expected[i], expected[i] = 1.0f;
    expect(difference(found, expected) < 2e-6f, table.isa, "exponentials " + std::to_string(size));
    const auto gate = numbers(14 * size, 3);
    auto both = numbers(14 * size, 4), other = both;
    std::vector<float> share(7), other_share(7);
    table.apply_gate(gate.data(), both.data(), 7, size, share.data());
    plain.apply_gate(gate.data(), other.data(), 7, size, other_share.data());
    expect(difference(both, other) == 0.0f, table.isa, "apply_gate " + std::to_string(size));
    const std::vector<float> shut(14 * size);
    table.apply_gate(shut.data(), both.data(), 7, size, share.data());
    expect(share == std::vector<float>(7, 0.5f), table.isa, "a shut gate " + std::to_string(size));
  }
}

void check_attention(const Kernels& table, const Kernels& plain) {
  for (const std::size_t length : {1, 5, 16, 17, 40}) {
    for (const std::size_t depth : {1, 4, 20, 33}) {
      const std::size_t heads = 2, rows = 6, padded = round_up(length, kLanes);
      const auto query = numbers(rows * heads * depth, 5), values = numbers(heads * length * depth, 6);
      auto keys = numbers(heads * depth * padded, 7);
      std::vector<std::uint8_t> real(length, 1);
      if (length > 2) real[1] = 0;
      const auto run = [&](const Kernels& kernels) {
        std::vector<float> out(rows * heads * depth), scratch(kAttentionRows * padded);
        kernels.attention({query.data(), heads * depth, keys.data(), values.data(), real.data(), length, padded, rows,
                           heads, depth, 0.3f, out.data(), heads * depth, scratch.data()});
        return out;
      };
      expect(difference(run(table), run(plain)) < 2e-5f, table.isa, "attention " + std::to_string(length));
      std::vector<std::vector<float>> nodes;
      std::vector<const float*> places;
      for (std::size_t i = 0; i < length; ++i) nodes.push_back(numbers(2 * heads * depth, static_cast<unsigned>(i)));
      for (const auto& node : nodes) places.push_back(node.data());
      const auto chain = [&](const Kernels& kernels) {
        std::vector<float> out(heads * depth), scratch(padded);
        kernels.chain_attention(
            {query.data(), places.data(), real.data(), length, heads, depth, 0.3f, out.data(), scratch.data()});
        return out;
      };
      expect(difference(chain(table), chain(plain)) < 2e-5f, table.isa, "chain_attention " + std::to_string(length));
    }
  }
}

}  // namespace

void check_kernels(const Kernels& table, const Kernels& plain) {
  check_gemm(table, plain);
  check_vocabulary(table, plain);
  check_rows(table, plain);
  check_attention(table, plain);
}

}  // namespace mime_fast
