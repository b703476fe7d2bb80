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

void tell(const std::string& line) { std::fputs((line + "\n").c_str(), stderr); }

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
  if (!options_.save.empty()) {
    lock_.emplace(options_.save);
    expect_writable(options_.save);
  }
  if (!options_.attention.empty()) attention_tokens(options_, recipe_, data_);
  if (!options_.log.empty()) log_.emplace(options_.log, !options_.resume.empty());
  first_step_ = saved_at_ = store_.runs();
  bytes_ = store_.bytes() + training_.allocated_bytes() + evaluation_.allocated_bytes();
}

void Trainer::print_start() const {
  std::int64_t parameters = 0;
  for (const Value& parameter : model_.training.parameters) parameters += parameter.type().count();
  tell(fmt::format("{} characters of '{}', {} different; {} held out", data_.tokens.size(), options_.text,
                   data_.vocabulary.size(), data_.held_out().size()));
  tell(fmt::format("{} parameters in {} tensors; {} planned for training, {} more for evaluation", parameters,
                   model_.training.parameters.size(), readable_bytes(training_.plan().total_bytes()),
                   readable_bytes(evaluation_.plan().arena_bytes + evaluation_.plan().constant_bytes)));
  std::fputs(training_.plan().str().c_str(), stderr);
  if (!options_.resume.empty()) tell(fmt::format("goes on after step {} of '{}'", first_step_, options_.resume));
}

Ending Trainer::run() {
  try {
    return train();
  } catch (...) {  // a full disk of the log, a reader of stdout that went: the run itself is sound
    progress_.clear();
    if (!options_.save.empty() && saved_at_ != store_.runs()) {
      try {
        save();
        if (saved_at_ == store_.runs())
          tell(fmt::format("train_gpt: saved to '{}' after step {}", options_.save, store_.runs()));
      } catch (const std::exception& error) {
        tell(fmt::format("train_gpt: {}", error.what()));
      }
    }
    throw;
  }
}

Ending Trainer::train() {
  print_start();
  started_ = Clock::now();
  const std::int64_t last = options_.stop_after > 0 ? std::min(options_.stop_after, recipe_.steps) : recipe_.steps;
  while (store_.runs() < last && stop_requested == 0) {
    if (!train_one()) return leave(Ending::diverged);
    const std::int64_t step = store_.runs();
    if (options_.eval_every > 0 && step % options_.eval_every == 0 && step < last) {
      if (std::isfinite(evaluate())) save();
    }
  }
  return leave(stop_requested != 0 && store_.runs() < last ? Ending::stopped : Ending::done);
}

bool Trainer::train_one() {
  const auto begin = Clock::now();
  draw_windows(data_.training(), batch_, store_.seed(), store_.runs());
  const Result result = training_.run({{"tokens", batch_.tokens}, {"targets", batch_.targets}});
  const auto end = Clock::now();
  const double speed = static_cast<double>(batch_.tokens.size()) / seconds_between(begin, end);
  const double loss = result.scalar("loss");
  const std::int64_t step = store_.runs();
  const auto skipped = static_cast<std::int64_t>(result.scalar("skipped"));
  lost_in_a_row_ = std::isfinite(loss) && result.scalar("finite") != 0 ? 0 : lost_in_a_row_ + 1;
  say(json_line({{"step", step},
                 {"loss", loss},
                 {"rate", result.scalar("rate")},
                 {"grad_norm", result.scalar("grad_norm")},
                 {"skipped", skipped},
                 {"tokens_per_s", std::round(speed)}}),
      false);
  const double each = seconds_between(started_, end) / static_cast<double>(step - first_step_);
  progress_.draw(step, loss, static_cast<double>(batch_.tokens.size()) / each,
                 each * static_cast<double>(recipe_.steps - step),
                 skipped == 0 ? "" : fmt::format("{} skipped", skipped));
  return lost_in_a_row_ < options_.most_skipped;
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

// The loss of a step is that before its update, so the first held-out batch is asked.
bool Trainer::is_sound() {
  cover(data_.held_out(), batch_, 0);
  return std::isfinite(evaluation_.run({{"tokens", batch_.tokens}, {"targets", batch_.targets}}).scalar("sum"));
}

// A state whose loss is not finite does not take the place of a good one.
void Trainer::save() {
  if (options_.save.empty() || !is_sound()) return;
  save_run(options_.save, store_, {{recipe_note, to_json(recipe_)}});
  saved_at_ = store_.runs();
}

void Trainer::write_sample() {
  if (options_.sample == 0) return;
  Sampler sampler(model_.logits, store_);
  bytes_ += sampler.bytes();
  const auto tokens = sampler.draw(data_.prompt, options_.sample, options_.temperature);
  const std::string text = data_.vocabulary.decode(data_.prompt) + data_.vocabulary.decode(tokens);
  progress_.clear();
  tell(text);
  say(json_line({{"step", store_.runs()}, {"sample", std::string_view(text)}}), false);
}

void Trainer::draw() {
  if (options_.attention.empty()) return;
  progress_.clear();
  draw_attention(options_, recipe_, data_, model_.logits, store_);
}

Ending Trainer::leave(Ending ending) {
  const bool finished = store_.runs() >= recipe_.steps && ending != Ending::diverged;
  if (ending != Ending::diverged && !finished) save();
  if (!finished) {
    const std::string kept = options_.save.empty()        ? "nothing was saved, there was no --save"
                             : saved_at_ == store_.runs() ? fmt::format("saved to '{}'", options_.save)
                             : saved_at_ > first_step_    ? fmt::format("'{}' holds step {}", options_.save, saved_at_)
                                                          : "nothing was saved since it began";
    if (ending != Ending::diverged) draw();
    progress_.clear();
    if (ending == Ending::diverged)
      tell(fmt::format("diverged: {}; {}",
                       lost_in_a_row_ > 0
                           ? fmt::format("{} steps in a row without a finite loss and gradient", lost_in_a_row_)
                           : "the held-out loss is not finite",
                       kept));
    else tell(fmt::format("stopped after step {} of {}; {}", store_.runs(), recipe_.steps, kept));
    say(json_line({{"done", false},
                   {"diverged", ending == Ending::diverged},
                   {"steps", store_.runs()},
                   {"seconds", seconds()},
                   {"peak_bytes", static_cast<std::int64_t>(bytes_)}}));
    return ending;
  }
  const double loss = evaluate();
  if (!std::isfinite(loss)) return leave(Ending::diverged);
  save();
  write_sample();
  draw();
  say(json_line({{"done", true},
                 {"val_loss", loss},
                 {"steps", store_.runs()},
                 {"seconds", seconds()},
                 {"peak_bytes", static_cast<std::int64_t>(bytes_)}}));
  return ending;
}

void Trainer::say(const std::string& line, bool on_terminal) {
  static const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  if (!terminal || on_terminal) {
    if (terminal) progress_.clear();
    std::fputs((line + "\n").c_str(), stdout);
    expect_printed(stdout);
  }
  if (log_) log_->write(line);
}

double Trainer::seconds() const { return seconds_between(started_, Clock::now()); }

}  // namespace train_gpt
