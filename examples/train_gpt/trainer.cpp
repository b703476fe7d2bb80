#include "trainer.h"

#include "attention_picture.h"
#include "sampler.h"

#include <weft/io/atomic_file.h>
#include <weft/io/run_state.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <unistd.h>

namespace train_gpt {

using namespace weft;

volatile std::sig_atomic_t stop_requested = 0;

namespace {

constexpr const char* recipe_note = "train_gpt";
using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

Trainer::Trainer(const Options& options, Recipe recipe, Data data)
    : options_(options),
      recipe_(std::move(recipe)),
      data_(std::move(data)),
      model_(build_model(recipe_, data_.vocabulary.size())),
      store_(model_.training, {.seed = recipe_.seed}),
      training_(model_.training, store_),
      evaluation_(model_.evaluation, store_),
      batch_(recipe_.batch, recipe_.context),
      progress_(stderr, recipe_.steps) {
  if (!options_.resume.empty()) load_run(options_.resume, store_);
  if (!options_.save.empty()) expect_writable(options_.save);
  if (!options_.attention.empty()) attention_tokens(options_, recipe_, data_);
  if (!options_.log.empty()) log_.emplace(options_.log, !options_.resume.empty());
  first_step_ = store_.runs();
  bytes_ = store_.bytes() + training_.allocated_bytes() + evaluation_.allocated_bytes();
}

void Trainer::print_start() const {
  std::int64_t parameters = 0;
  for (const Value& parameter : model_.training.parameters) parameters += parameter.type().count();
  fmt::print(stderr, "{} characters of '{}', {} different; {} held out\n", data_.tokens.size(), options_.text,
             data_.vocabulary.size(), data_.held_out().size());
  fmt::print(stderr, "{} parameters in {} tensors; {} planned for training, {} more for evaluation\n", parameters,
             model_.training.parameters.size(), readable_bytes(training_.plan().total_bytes()),
             readable_bytes(evaluation_.plan().arena_bytes + evaluation_.plan().constant_bytes));
  fmt::print(stderr, "{}", training_.plan().str());
  if (!options_.resume.empty()) fmt::print(stderr, "goes on after step {} of '{}'\n", first_step_, options_.resume);
}

void Trainer::run() {
  print_start();
  started_ = Clock::now();
  const std::int64_t last = options_.stop_after > 0 ? std::min(options_.stop_after, recipe_.steps) : recipe_.steps;
  while (store_.runs() < last && stop_requested == 0) {
    train_one();
    const std::int64_t step = store_.runs();
    if (options_.eval_every > 0 && step % options_.eval_every == 0 && step < last) {
      evaluate();
      save();
    }
  }
  leave(store_.runs() >= recipe_.steps);
}

void Trainer::train_one() {
  const auto begin = Clock::now();
  draw_windows(data_.training(), batch_, store_.seed(), store_.runs());
  const Result result = training_.run({{"tokens", batch_.tokens}, {"targets", batch_.targets}});
  const auto end = Clock::now();
  const double speed = static_cast<double>(batch_.tokens.size()) / seconds_between(begin, end);
  const double loss = result.scalar("loss");
  const std::int64_t step = store_.runs();
  say(json_line({{"step", step},
                 {"loss", loss},
                 {"rate", result.scalar("rate")},
                 {"grad_norm", result.scalar("grad_norm")},
                 {"tokens_per_s", std::round(speed)}}),
      false);
  const double each = seconds_between(started_, end) / static_cast<double>(step - first_step_);
  progress_.draw(step, loss, static_cast<double>(batch_.tokens.size()) / each,
                 each * static_cast<double>(recipe_.steps - step));
}

// The mean over every prediction of the held-out tenth.
double Trainer::evaluate() {
  double sum = 0;
  double weight = 0;
  for (std::int64_t i = 0; i < covering_batches(data_.held_out(), batch_); ++i) {
    cover(data_.held_out(), batch_, i);
    const Result result = evaluation_.run({{"tokens", batch_.tokens}, {"targets", batch_.targets}});
    sum += result.scalar("sum");
    weight += result.scalar("weight");
  }
  const double loss = sum / weight;
  say(json_line({{"step", store_.runs()}, {"val_loss", loss}}));
  return loss;
}

void Trainer::save() const {
  if (!options_.save.empty()) save_run(options_.save, store_, {{recipe_note, to_json(recipe_)}});
}

void Trainer::write_sample() {
  if (options_.sample == 0) return;
  Sampler sampler(model_.logits, store_);
  bytes_ += sampler.bytes();
  const auto tokens = sampler.draw(data_.prompt, options_.sample, options_.temperature);
  const std::string text = data_.vocabulary.decode(data_.prompt) + data_.vocabulary.decode(tokens);
  progress_.clear();
  fmt::print(stderr, "{}\n", text);
  say(json_line({{"step", store_.runs()}, {"sample", std::string_view(text)}}), false);
}

void Trainer::draw() {
  if (options_.attention.empty()) return;
  progress_.clear();
  draw_attention(options_, recipe_, data_, model_.logits, store_);
}

void Trainer::leave(bool finished) {
  if (!finished) {
    save();
    draw();
    progress_.clear();
    fmt::print(
        stderr, "stopped after step {} of {}{}\n", store_.runs(), recipe_.steps,
        options_.save.empty() ? "; nothing was saved, there was no --save" : ", saved to '" + options_.save + "'");
    say(json_line({{"done", false},
                   {"steps", store_.runs()},
                   {"seconds", seconds()},
                   {"peak_bytes", static_cast<std::int64_t>(bytes_)}}));
    return;
  }
  const double loss = evaluate();
  save();
  write_sample();
  draw();
  say(json_line({{"done", true},
                 {"val_loss", loss},
                 {"steps", store_.runs()},
                 {"seconds", seconds()},
                 {"peak_bytes", static_cast<std::int64_t>(bytes_)}}));
}

void Trainer::say(const std::string& line, bool on_terminal) {
  static const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  if (!terminal || on_terminal) {
    if (terminal) progress_.clear();
    fmt::print("{}\n", line);
    std::fflush(stdout);
  }
  if (log_) log_->write(line);
}

double Trainer::seconds() const { return seconds_between(started_, Clock::now()); }

}  // namespace train_gpt
