// The response decoder (eq. 28) on any positions of any replies at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/encode.h"

namespace mime_fast {

// One word of a reply as far as it is known.
struct Node {
  std::int32_t parent;  // -1: none
  std::int32_t token;
  float logprob;
  float logit;  // what it was made of
};

// The words of a dialogue's hypotheses as a tree, and what each layer that the dialogue goes through keeps of them:
// nothing is copied when beams part. The root is SOS.
class Tree {
 public:
  // layers: those of the dialogue's memory.
  Tree(const Model& model, std::size_t layers);

  std::int32_t add(std::int32_t parent, std::int32_t token, float logprob, float logit = 0.0f);
  void set_logprob(std::int32_t index, float logprob) { nodes_[static_cast<std::size_t>(index)].logprob = logprob; }
  const Node& node(std::int32_t index) const { return nodes_[static_cast<std::size_t>(index)]; }

  // Of one layer and node: keys [A], values [A], the outer two taps [2F], hidden [F].
  float* cache(std::size_t layer, std::int32_t index) {
    return caches_[layer].data() + static_cast<std::size_t>(index) * stride_;
  }

 private:
  std::size_t stride_;
  std::vector<Node> nodes_;
  std::vector<AlignedVector<float>> caches_;
};

// A position to compute: `node` is the last word of its prefix, all earlier ones of which have been computed or come
// before it in the same call.
struct Row {
  Tree* tree;
  const Memory* memory;
  std::int32_t node;
  std::int32_t position;
};

// O of eq. 28, [rows, C].
void decode(const Model& model, Scratch& scratch, const std::vector<Row>& rows, float* out);

}  // namespace mime_fast
