#include "golden.h"

#include <weft/autodiff/gradient.h>
#include <weft/nn/gpt.h>
#include <weft/ops/loss/cross_entropy.h>
#include <weft/ops/norm/layer_norm.h>
#include <weft/ops/pointwise/activation.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/product/matmul.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/optim/accumulate.h>
#include <weft/optim/clip.h>
#include <weft/optim/optimize.h>
#include <weft/optim/training_step.h>
#include <weft/runtime/program.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace golden {

using namespace weft;

namespace {

std::map<std::string, Value> gradient_penalty(const Case& c) {
  const Value x = c.in("x");
  const Value logits = matmul(gelu(layer_norm(matmul(x, c.in("w1")))), c.in("w2"));
  const Tensor classes = Tensor::of<std::int64_t>({3}, {0, 3, 1});
  const auto bytes = std::span(classes.raw(), classes.bytes());
  const Value targets = c.graph().constant({{i64, {3}}, {bytes.begin(), bytes.end()}});
  const LossTerm term = cross_entropy(logits, targets).terms.front();
  const Value loss = term.sum / term.weight;
  const Value gx = gradient(loss, {x}).front();
  return {{"loss", loss}, {"gx", gx}, {"penalty", sum(square(gx))}};
}

// Rows of a packed tensor of the file under the name that it has in nn::Gpt.
struct Part {
  std::string path, name;
  std::int64_t begin = 0, end = -1;  // -1: all
};

std::vector<Part> gpt_parts(std::int64_t layers, std::int64_t width) {
  std::vector<Part> parts{{"embedding/tokens/weight", "tok.weight"},
                          {"embedding/positions/weight", "pos.weight"},
                          {"norm/weight", "norm.weight"},
                          {"norm/bias", "norm.bias"}};
  for (std::int64_t i = 0; i < layers; ++i) {
    const std::string path = fmt::format("decoder/{}/", i);
    const std::string name = fmt::format("blocks.{}.", i);
    for (const char* kind : {"weight", "bias"}) {
      const std::array<const char*, 3> packed{"query", "key", "value"};
      for (std::int64_t k = 0; k < 3; ++k)
        parts.push_back({fmt::format("{}attention/{}/{}", path, packed[static_cast<std::size_t>(k)], kind),
                         fmt::format("{}self_attn.in_proj_{}", name, kind), k * width, (k + 1) * width});
      parts.push_back(
          {fmt::format("{}attention/out/{}", path, kind), fmt::format("{}self_attn.out_proj.{}", name, kind)});
      parts.push_back({fmt::format("{}feed_forward/up/{}", path, kind), fmt::format("{}linear1.{}", name, kind)});
      parts.push_back({fmt::format("{}feed_forward/down/{}", path, kind), fmt::format("{}linear2.{}", name, kind)});
      parts.push_back({fmt::format("{}attention_norm/{}", path, kind), fmt::format("{}norm1.{}", name, kind)});
      parts.push_back({fmt::format("{}feed_forward_norm/{}", path, kind), fmt::format("{}norm2.{}", name, kind)});
    }
  }
  return parts;
}

Tensor part_of(const Safetensors& file, const std::string& prefix, const Part& part) {
  const Tensor& whole = file.tensors.at(prefix + part.name);
  return part.end < 0 ? whole : whole.rows(part.begin, part.end);
}

// 40 steps of the whole training step: forward, backward, clipping, AdamW; the batch cut into `micro_batches`.
std::string train_gpt_in(const Safetensors& file, std::int64_t micro_batches) {
  const Tensor& batches = file.tensors.at("in.batches");  // [steps, batch, context + 1]
  const Tensor& table = file.tensors.at("in.p.tok.weight");
  const std::int64_t layers = 2;
  const std::int64_t width = table.extent(1);
  const std::int64_t context = batches.extent(2) - 1;

  Graph graph;
  const Dim batch = graph.dim("batch", batches.extent(1));
  const Dim time = graph.dim("time", context);
  const Value tokens = graph.input("tokens", i64, {batch, time});
  const Value targets = graph.input("targets", i64, {batch, time});
  const nn::Gpt model(
      graph,
      {.vocab = table.extent(0), .layers = layers, .heads = 4, .width = width, .context = context, .dtype = f64});
  // named under the scope "schedule"
  const Schedule fed("fed", [](const Value& updates) { return updates.graph().input("rate", f64, {}); });
  const Step step = training_step(cross_entropy(model(tokens), targets)) | accumulate(micro_batches) |
                    clip_global_norm(1.0) |
                    optimize(adamw({.rate = fed, .beta1 = 0.9, .beta2 = 0.95, .weight_decay = 0.1, .decay_rank = 2}));
  Store store(step);
  const std::vector<Part> parts = gpt_parts(layers, width);
  WEFT_CHECK(parts.size() == graph.parameters().size(), "the model has {} parameters, the file {}",
             graph.parameters().size(), parts.size());
  for (const Part& part : parts) store.set(part.path, part_of(file, "in.p.", part));
  Program program(step, store);

  const std::int64_t steps = batches.extent(0);
  Tensor losses(f64, {steps}), norms(f64, {steps});
  Tensor x(i64, {batch.value(), context}), y(i64, {batch.value(), context});
  for (std::int64_t s = 0; s < steps; ++s) {
    const std::int64_t* row = batches.data<std::int64_t>() + s * batch.value() * (context + 1);
    for (std::int64_t b = 0; b < batch.value(); ++b, row += context + 1) {
      std::copy_n(row, context, x.data<std::int64_t>() + b * context);
      std::copy_n(row + 1, context, y.data<std::int64_t>() + b * context);
    }
    const Tensor rate = Tensor::scalar(file.tensors.at("in.lr").at(s));
    const Result result = program.run({{"tokens", x}, {"targets", y}, {"schedule/rate", rate}});
    losses.data<double>()[s] = result.scalar("loss");
    norms.data<double>()[s] = result.scalar("grad_norm");
  }
  const Tolerance relative{0, 1e-7};
  if (std::string text = difference("loss", losses, file.tensors.at("out.loss"), relative); !text.empty()) return text;
  if (std::string text = difference("grad_norm", norms, file.tensors.at("out.grad_norm_before_clip"), relative);
      !text.empty())
    return text;
  for (const Part& part : parts) {
    const Tensor want = part_of(file, "out.p.", part);
    if (std::string text = difference(part.path, store.tensor(part.path), want, {1e-6, 1e-6}); !text.empty())
      return text;
  }
  return "";
}

std::string train_gpt(const Safetensors& file) {
  const std::int64_t batch = file.tensors.at("in.batches").extent(1);
  for (const std::int64_t k : {std::int64_t{1}, std::int64_t{2}, batch})
    if (std::string text = train_gpt_in(file, k); !text.empty()) return fmt::format("in {} micro-batches: {}", k, text);
  return "";
}

}  // namespace

Cases training_cases() {
  return {{"double_backward", named_outputs(gradient_penalty, "penalty")}, {"train_gpt", train_gpt}};
}

}  // namespace golden
