#include <pybind11/gil_safe_call_once.h>
#include <pybind11/stl.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <memory>
#include <optional>
#include <vector>

#include "bindings/checks.h"
#include "bindings/convert.h"
#include "bindings/names.h"
#include "bindings/native/model_config.h"
#include "bindings/native/released.h"
#include "bindings/native/tower.h"
#include "engine/run.h"

namespace mime_fast {
namespace {

// Contexts whose arrays have been checked; holds on to them.
struct CheckedContexts {
  CheckedContexts(const py::tuple& arrays, const ModelConfig& config) {
    if (arrays.size() != 3) throw py::value_error("contexts: must be (token_ids, state_ids, offsets)");
    token_ids = checked_array<std::int32_t>("token_ids", arrays[0], 1, "[sum S]");
    state_ids = checked_array<std::int32_t>("state_ids", arrays[1], 1, "[sum S]");
    offsets = checked_array<std::int64_t>("offsets", arrays[2], 1, "[N + 1]");
    const auto total = static_cast<std::size_t>(token_ids.size());
    check_size("state_ids", state_ids, total);
    count = check_offsets("offsets", offsets, total, config.drop_ctx ? 2 : 1,
                          static_cast<std::int64_t>(config.max_positions));
    check_items<std::int32_t>("token_ids", token_ids, 0, static_cast<std::int32_t>(config.vocab_size) - 1);
    check_items<std::int32_t>("state_ids", state_ids, kUserId, kUserId + 2);
  }
  Contexts view() const { return {token_ids.data(), state_ids.data(), offsets.data()}; }

  Array<std::int32_t> token_ids, state_ids;
  Array<std::int64_t> offsets;
  std::size_t count = 0;
};

struct CheckedRequests {
  CheckedRequests(const py::tuple& values, std::size_t count) {
    if (values.size() != 4) {
      throw py::value_error("requests: must be (seeds, request_ids, emotions, stochastic)");
    }
    seeds = checked_array<std::uint64_t>("seeds", values[0], 1, "[N]");
    request_ids = checked_array<std::uint64_t>("request_ids", values[1], 1, "[N]");
    emotions = checked_array<std::int32_t>("emotions", values[2], 1, "[N]");
    if (!py::isinstance<py::bool_>(values[3])) throw py::type_error("stochastic: must be True or False");
    stochastic = values[3].cast<bool>();
    check_size("seeds", seeds, count);
    check_size("request_ids", request_ids, count);
    check_size("emotions", emotions, count);
    check_items<std::int32_t>("emotions", emotions, -1, static_cast<std::int32_t>(kEmotions) - 1);
  }
  Requests view() const { return {seeds.data(), request_ids.data(), emotions.data(), stochastic}; }

  Array<std::uint64_t> seeds, request_ids;
  Array<std::int32_t> emotions;
  bool stochastic = false;
};

// A baseline has no weights of a mixture and no gate: None.
struct EmotionArrays {
  EmotionArrays(std::size_t count, ModelType type) : logits({count, kEmotions}), mimicked(count) {
    if (type != ModelType::kMime) return;
    weights.emplace(std::vector<std::size_t>{count, kEmotions});
    share.emplace(count);
  }
  EmotionOutputs view() {
    return {logits.mutable_data(), mimicked.mutable_data(), weights ? weights->mutable_data() : nullptr,
            share ? share->mutable_data() : nullptr};
  }
  py::tuple tuple() const { return py::make_tuple(logits, mimicked, weights, share); }

  Array<float> logits;
  Array<std::int32_t> mimicked;
  std::optional<Array<float>> weights;
  std::optional<Array<float>> share;
};

// What has been freed goes back to the system: glibc would keep tens of megabytes after tensors of this size.
void give_back_memory() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

// A tensor of a mapping, as an array that lives as long as the result. Takes the GIL, which packing does without, and
// heeds signals.
TensorValues tensor_of(const py::object& tensors, const std::string& name, const std::vector<std::size_t>& shape) {
  const py::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  py::object given;
  try {
    given = tensors[name.c_str()];
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_KeyError)) throw;
    throw py::value_error("missing tensor '" + name + "'");
  }
  const auto axes = static_cast<py::ssize_t>(shape.size());
  const std::shared_ptr<Array<float>> array(
      new Array<float>(checked_array<float>(name, given, axes, "that its layer has")), [](const Array<float>* kept) {
        const py::gil_scoped_acquire held;
        delete kept;
      });
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const auto entries = static_cast<std::size_t>(array->shape(static_cast<py::ssize_t>(i)));
    if (entries == shape[i]) continue;
    throw py::value_error(name + ": axis " + std::to_string(i) + " has " + std::to_string(entries) +
                          " entries; must have " + std::to_string(shape[i]));
  }
  return TensorValues(array, array->data());
}

class PyModel {
 public:
  PyModel(const py::dict& config, const py::tuple& emotion_groups, const py::object& tensors,
          const std::string& precision, const std::string& isa) {
    const ModelConfig checked = model_config_of(config, emotion_groups);
    const FindTensor find = [&](const std::string& name, const std::vector<std::size_t>& shape) {
      return tensor_of(tensors, name, shape);
    };
    const Precision wanted = precision == "screened" ? Precision::kFloat32 : checked_precision(precision);
    const Isa chosen = checked_isa(isa);
    const bool screened = precision == "screened";
    const py::gil_scoped_release released;
    give_back_memory();  // of reading files
    model_ = make_model(checked, wanted, screened, chosen, find);
    give_back_memory();  // of packing
  }

  std::string isa() const { return model_.kernels->isa; }
  bool screened() const { return model_.screened.has_value(); }

  py::array classify(const py::tuple& contexts, const py::object& stop, std::size_t threads,
                     std::size_t batch_size) const {
    return of_contexts(run_classify, kEmotions, contexts, stop, threads, batch_size);
  }

  py::array context_vectors(const py::tuple& contexts, const py::object& stop, std::size_t threads,
                            std::size_t batch_size) const {
    return of_contexts(run_context_vectors, 2 * model_.config.hidden_size, contexts, stop, threads, batch_size);
  }

  py::array mimic_shares(const py::tuple& contexts, const py::tuple& requests, const py::object& stop,
                         std::size_t threads, std::size_t batch_size) const {
    if (model_.config.model_type != ModelType::kMime) throw py::value_error("a baseline has no gate");
    const CheckedContexts checked(contexts, model_.config);
    const CheckedRequests asked(requests, checked.count);
    EmotionArrays outputs(checked.count, model_.config.model_type);
    Array<float> shares(checked.token_ids.size());
    std::fill_n(shares.mutable_data(), shares.size(), 0.0f);
    EmotionOutputs view = outputs.view();
    view.mimic_shares = shares.mutable_data();
    Interruption interruption(stop);
    run_released(interruption, threads, batch_size, [&](const RunOptions& run) {
      run_hear(model_, run, checked.view(), asked.view(), checked.count, view);
    });
    return std::move(shares);
  }

  py::tuple generate(const py::tuple& contexts, const py::tuple& requests, const py::dict& options,
                     const py::object& prefixes, const py::object& stop, std::size_t threads,
                     std::size_t batch_size) const {
    const CheckedContexts checked(contexts, model_.config);
    const CheckedRequests asked(requests, checked.count);
    const SearchOptions search = options_of(options, model_.config.vocab_size, model_.config.max_positions);
    const auto begun = prefixes_of(prefixes, checked.count, model_.config.vocab_size, search.max_new_tokens);
    EmotionArrays outputs(checked.count, model_.config.model_type);
    const EmotionOutputs view = outputs.view();
    std::vector<std::vector<Reply>> replies;
    Interruption interruption(stop);
    run_released(interruption, threads, batch_size, [&](const RunOptions& run) {
      replies = run_generate(model_, run, search, checked.view(), asked.view(), begun, checked.count, view);
    });
    return py::make_tuple(outputs.tuple(), flat_replies(replies));
  }

  py::tuple score(const py::tuple& contexts, const py::tuple& requests, const py::object& targets,
                  const py::object& target_offsets, bool dense, const py::object& stop, std::size_t threads,
                  std::size_t batch_size) const {
    const CheckedContexts checked(contexts, model_.config);
    const CheckedRequests asked(requests, checked.count);
    const auto tokens = checked_array<std::int32_t>("targets", targets, 1, "[sum T]");
    const auto offsets = checked_array<std::int64_t>("target_offsets", target_offsets, 1, "[N + 1]");
    check_items<std::int32_t>("targets", tokens, 0, static_cast<std::int32_t>(model_.config.vocab_size) - 1);
    const std::size_t count = check_offsets("target_offsets", offsets, static_cast<std::size_t>(tokens.size()), 1,
                                            static_cast<std::int64_t>(model_.config.max_positions));
    if (count != checked.count) {
      throw py::value_error(std::to_string(count) + " targets for " + std::to_string(checked.count) + " contexts");
    }
    EmotionArrays outputs(count, model_.config.model_type);
    const EmotionOutputs view = outputs.view();
    Array<float> logprobs(static_cast<std::size_t>(tokens.size()));
    float* out = logprobs.mutable_data();
    Interruption interruption(stop);
    run_released(interruption, threads, batch_size, [&](const RunOptions& run) {
      run_score(model_, run, checked.view(), asked.view(), tokens.data(), offsets.data(), dense, count, view, out);
    });
    return py::make_tuple(outputs.tuple(), logprobs);
  }

 private:
  // What `work` finds in each context, [N, columns].
  py::array of_contexts(decltype(run_classify)* work, std::size_t columns, const py::tuple& contexts,
                        const py::object& stop, std::size_t threads, std::size_t batch_size) const {
    const CheckedContexts checked(contexts, model_.config);
    Array<float> found({checked.count, columns});
    float* out = found.mutable_data();
    Interruption interruption(stop);
    run_released(interruption, threads, batch_size,
                 [&](const RunOptions& run) { work(model_, run, checked.view(), checked.count, out); });
    return std::move(found);
  }

  Model model_;
};

// Set the Python error of this type, with the dialogues as an attribute.
template <typename Error>
void raise_about(const py::object& type, const Error& error) {
  py::list dialogues;
  for (const std::size_t dialogue : error.dialogues) dialogues.append(dialogue);
  const py::object raised = type(error.what());
  raised.attr("dialogues") = dialogues;
  PyErr_SetObject(type.ptr(), raised.ptr());
}

}  // namespace
}  // namespace mime_fast

PYBIND11_MODULE(_native, module) {
  using namespace mime_fast;
  module.doc() = "The C++ side of mime_fast; checks its arguments, releases the GIL, knows no torch.";
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::object> model_error, no_response;
  model_error.call_once_and_store_result(
      [&]() { return py::exception<ModelError>(module, "ModelError", PyExc_RuntimeError); });
  no_response.call_once_and_store_result(
      [&]() { return py::exception<NoResponse>(module, "NoResponse", PyExc_RuntimeError); });
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const NoResponse& empty) {
      raise_about(no_response.get_stored(), empty);
    } catch (const ModelError& broken) {
      raise_about(model_error.get_stored(), broken);
    }
  });
  py::class_<PyModel>(module, "Model", "A model with packed weights; calls do not change it.")
      .def(py::init<const py::dict&, const py::tuple&, const py::object&, const std::string&, const std::string&>(),
           py::arg("config"), py::arg("emotion_groups"), py::arg("tensors"), py::arg("precision"), py::arg("isa"))
      .def_property_readonly("isa", &PyModel::isa)
      .def_property_readonly("screened", &PyModel::screened)
      .def("classify", &PyModel::classify, py::arg("contexts"), py::kw_only(), py::arg("stop"), py::arg("threads"),
           py::arg("batch_size"))
      .def("context_vectors", &PyModel::context_vectors, py::arg("contexts"), py::kw_only(), py::arg("stop"),
           py::arg("threads"), py::arg("batch_size"))
      .def("mimic_shares", &PyModel::mimic_shares, py::arg("contexts"), py::arg("requests"), py::kw_only(),
           py::arg("stop"), py::arg("threads"), py::arg("batch_size"))
      .def("generate", &PyModel::generate, py::arg("contexts"), py::arg("requests"), py::arg("options"),
           py::arg("prefixes"), py::kw_only(), py::arg("stop"), py::arg("threads"), py::arg("batch_size"))
      .def("score", &PyModel::score, py::arg("contexts"), py::arg("requests"), py::arg("targets"),
           py::arg("target_offsets"), py::kw_only(), py::arg("dense") = false, py::arg("stop"), py::arg("threads"),
           py::arg("batch_size"));
  bind_tower(module);
  module.attr("interface") = MIME_FAST_INTERFACE;
  py::list isas;
  for (int i = 0; i < kIsaCount; ++i) isas.append(isa_name(static_cast<Isa>(i)));
  module.attr("isas") = py::tuple(isas);
  module.def(
      "why_not",
      [](const std::string& isa) {
        for (int i = 0; i < kIsaCount; ++i) {
          if (isa == isa_name(static_cast<Isa>(i))) return std::string(why_not(static_cast<Isa>(i)));
        }
        throw py::value_error("isa='" + isa + "' is not known");
      },
      py::arg("isa"), "Why an instruction set cannot run here; empty if it can.");
}
