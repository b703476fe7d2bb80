// From a text to a model that writes: what is asked of a model before it is trained, while it is, and afterwards.
//
//   090-verify-audit-train [FILE]       (without a file: a rhyme)
#include <weft/weft.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <numeric>
#include <random>
#include <string>
#include <vector>

using namespace weft;

namespace {

// --- The text ---

// "The House That Jack Built": each verse says all that the verses before it said.
std::string rhyme() {
  const std::vector<std::string> lines{"the farmer sowing his corn that kept ",
                                       "the cock that crowed in the morn that woke ",
                                       "the priest all shaven and shorn that married ",
                                       "the man all tattered and torn that kissed ",
                                       "the maiden all forlorn that milked ",
                                       "the cow with the crumpled horn that tossed ",
                                       "the dog that worried ",
                                       "the cat that killed ",
                                       "the rat that ate ",
                                       "the malt that lay in "};
  std::string text;
  for (std::size_t first = lines.size() + 1; first-- > 0;)
    text += "This is " +
            std::accumulate(lines.begin() + static_cast<std::ptrdiff_t>(first), lines.end(), std::string()) +
            "the house that Jack built.\n";
  return text;
}

struct Text {
  CharVocabulary vocabulary;
  std::vector<std::int32_t> training, held_out;

  explicit Text(const std::u32string& characters) : vocabulary(characters) {
    const std::vector<std::int32_t> tokens = vocabulary.encode(characters);
    // the last tenth is not trained on
    const auto cut = tokens.end() - static_cast<std::ptrdiff_t>(tokens.size() / 10);
    training.assign(tokens.begin(), cut);
    held_out.assign(cut, tokens.end());
  }
};

// --- The model ---

constexpr std::int64_t batch = 8, context = 32;

struct Model {
  Graph graph;
  Value logits;
  Loss loss;

  explicit Model(std::int64_t vocab, double dropout = 0.05) {
    const Dim n = graph.dim("batch", batch), time = graph.dim("time", context);
    const Value tokens = graph.input("tokens", i32, {n, time}), targets = graph.input("targets", i32, {n, time});
    const nn::Gpt gpt(graph,
                      {.vocab = vocab, .layers = 2, .heads = 4, .width = 48, .context = context, .dropout = dropout});
    logits = gpt(tokens);
    loss = cross_entropy(logits, targets, {.ignore_index = no_target});
  }
};

Step training(const Loss& loss) {
  return training_step(loss) | accumulate(2) | clip_global_norm(1.0) |
         optimize(adamw({.rate = warmup_cosine(1e-2, 20, 400), .weight_decay = 0.01, .decay_rank = 2}));
}

bool say(bool passed, const std::string& what) {
  std::cout << (passed ? "yes  " : "NO   ") << what << "\n";
  return passed;
}

// --- Before: nothing has been trained, and most mistakes are found ---

// Finite differences of a small model of the same parts, in float64.
bool gradients_are_true() {
  Graph graph;
  const Value tokens = graph.input("tokens", i32, {2, 5}), targets = graph.input("targets", i32, {2, 5});
  const nn::Gpt gpt(graph, {.vocab = 7, .layers = 2, .heads = 2, .width = 8, .context = 5, .dtype = f64});
  const Loss loss = cross_entropy(gpt(tokens), targets);
  const Tensor x = Tensor::of<std::int32_t>({2, 5}, {0, 3, 1, 6, 2, 5, 5, 4, 0, 1}), y = x.clone();
  const GradientCheck check = check_gradients(loss.terms.front().sum, graph.parameters(),
                                              {{"tokens", x}, {"targets", y}}, {.most_elements = 20});
  return say(check.passed(), "gradients agree with finite differences: " + check.str());
}

bool everything_learns(const Step& step) {
  const Audit report = audit(step);
  if (!report.complete()) std::cout << report;  // names what the loss does not reach, and where the path is cut
  return say(report.complete(),
             fmt::format("all {} elements of {} parameters learn", report.trained, report.parameters.size()));
}

bool transforms_keep_the_meaning(const Loss& loss, std::int64_t vocab) {
  const Step plain = training_step(loss);
  const Equivalence result =
      verify_equivalent(plain, plain | accumulate(2),
                        {.integers = {{"tokens", vocab}, {"targets", vocab}}, .padding = {{"targets", no_target}}});
  if (!result.passed()) std::cout << result;
  return say(result.passed(), "two micro-batches give the whole batch's gradients");
}

// A model that cannot learn one batch by heart will learn nothing else. Before it learns it knows nothing: log(vocab).
bool learns_one_batch(const Text& text) {
  const Model model(text.vocabulary.size(), 0);
  const Step step = training_step(model.loss) | optimize(adamw({.rate = 5e-3}));
  Store store(step, {.seed = 2});
  Program program(step, store);
  TokenBatch data(batch, context);
  draw_windows(text.training, data, 2, 0);
  double first = 0, last = 0;
  for (int i = 0; i < 60; ++i) {
    last = program.run({{"tokens", data.tokens}, {"targets", data.targets}}).scalar("loss");
    if (i == 0) first = last;
  }
  const double blank = std::log(static_cast<double>(text.vocabulary.size()));
  const bool starts =
      say(std::abs(first - blank) < 0.1 * blank, fmt::format("starts at {:.3f}, log(vocab) is {:.3f}", first, blank));
  return say(last < 0.2, fmt::format("learns one batch by heart: {:.3f}", last)) && starts;
}

// --- While: the loop ---

double train(Program& program, const Text& text, std::int64_t steps, bool quiet = false) {
  Store& store = program.store();
  TokenBatch data(batch, context);
  double loss = 0;
  for (std::int64_t i = 0; i < steps; ++i) {
    draw_windows(text.training, data, store.seed(), store.runs());  // the batch of this run, after a resume as well
    const Result result = program.run({{"tokens", data.tokens}, {"targets", data.targets}});
    loss = result.scalar("loss");
    if (!quiet && store.runs() % 100 == 0)
      std::cout << fmt::format("     step {:>3}: loss {:.3f}, rate {:.1e}, gradient {:.2f}\n", store.runs(), loss,
                               result.scalar("rate"), result.scalar("grad_norm"));
  }
  return loss;
}

// A run that was saved and goes on has the bits of one that never stopped.
bool resumes(const Step& step, const Store& halfway, double wanted, const Text& text) {
  const std::filesystem::path file =
      std::filesystem::temp_directory_path() / fmt::format("weft-{:08x}.safetensors", std::random_device()());
  save_run(file, halfway);
  Store store(step);
  load_run(file, store);
  std::filesystem::remove(file);
  Program program(step, store);
  const double loss = train(program, text, 200, true);
  return say(loss == wanted,
             fmt::format("saved after {} steps and resumed: the same loss to the last bit", halfway.runs()));
}

// --- After: what does it know, and what does it write? ---

// The mean over every held-out character: sums are weighted, so a short last batch counts for what it is.
double held_out_loss(const Model& model, Store& store, const Text& text) {
  Program program(evaluation(model.loss), store);  // another graph: no dropout, no backward pass
  TokenBatch data(batch, context);
  double sum = 0, weight = 0;
  for (std::int64_t i = 0; i < covering_batches(text.held_out, data); ++i) {
    cover(text.held_out, data, i);
    const Result result = program.run({{"tokens", data.tokens}, {"targets", data.targets}});
    sum += result.scalar("sum");
    weight += result.scalar("weight");
  }
  return sum / weight;
}

// Always the likeliest next character.
std::string write(const Model& model, Store& store, const Text& text, std::size_t prompt, std::size_t count) {
  Program program(at_batch(inference({model.logits}), 1), store);
  const std::int64_t vocab = text.vocabulary.size();
  std::vector<std::int32_t> tokens(text.training.begin(), text.training.begin() + static_cast<std::ptrdiff_t>(prompt));
  Tensor window(i32, {1, context});
  while (tokens.size() < count) {
    const std::size_t seen = std::min(tokens.size(), static_cast<std::size_t>(context));
    std::copy(tokens.end() - static_cast<std::ptrdiff_t>(seen), tokens.end(), window.data<std::int32_t>());
    const Tensor logits = program.run({{"tokens", window}}).tensor(model.logits);
    const float* row = logits.data<float>() + static_cast<std::int64_t>(seen - 1) * vocab;
    tokens.push_back(static_cast<std::int32_t>(std::max_element(row, row + vocab) - row));
  }
  return text.vocabulary.decode(tokens);
}

}  // namespace

int main(int count, char** arguments) {
  const std::string source = count > 1 ? read_text(arguments[1]) : rhyme();
  const Text text(decode_utf8(source));
  const Model model(text.vocabulary.size());
  const Step step = training(model.loss);
  std::cout << plan(step);
  bool good = gradients_are_true() && everything_learns(step) && learns_one_batch(text) &&
              transforms_keep_the_meaning(model.loss, text.vocabulary.size());

  Store store(step, {.seed = 1});
  Program program(step, store);
  const double before = held_out_loss(model, store, text);
  train(program, text, 200);
  const Store halfway = store.clone();
  const double last = train(program, text, 200);
  good = resumes(step, halfway, last, text) && good;

  const double after = held_out_loss(model, store, text);
  good =
      say(after < 0.5 * before, fmt::format("the held-out tenth: {:.3f} before, {:.3f} after", before, after)) && good;
  std::cout << write(model, store, text, 12, 240) << "\n";
  return good ? 0 : 1;
}
