// A run: the model, its programs, and the loop around them.
#pragma once

#include "data.h"
#include "options.h"

#include <weft/graph/step.h>
#include <weft/io/log.h>
#include <weft/io/run_lock.h>
#include <weft/runtime/program.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <string>

namespace train_gpt {

/// Set by a signal: the loop saves and leaves after the step that runs.
extern volatile std::sig_atomic_t stop_requested;

/// How a run ended: the program's exit code.
enum class Ending { done = 0, failed = 1, stopped = 3, diverged = 4 };

/// A line for people. That nobody can read it is no reason to stop.
void tell(const std::string& line);

/// What is built once: the forward graph and the two steps over it.
struct Model {
  weft::Value logits;
  weft::Step training, evaluation;
};
Model build_model(const Recipe& recipe, std::int64_t vocabulary);

class Trainer {
 public:
  /// Builds graph, plans, store and programs; reads the save if one is to be resumed. Nothing is written before it
  /// succeeds.
  Trainer(const Options& options, Recipe recipe, Data data);

  /// Trains to the end of the schedule, or until it is to stop. What it throws, it throws after it has saved the run.
  Ending run();

 private:
  void print_start() const;
  Ending train();
  /// False where neither loss nor gradient was finite for too many steps.
  bool train_one();
  Ending leave(Ending ending);
  double evaluate();
  bool is_sound();
  void save();
  void write_sample();
  void draw();
  /// A JSON line, to stdout and the log. Those of single steps do not disturb a terminal, which has the progress bar.
  void say(const std::string& line, bool on_terminal = true);
  double seconds() const;

  Options options_;
  Recipe recipe_;
  Data data_;
  Model model_;
  weft::Store store_;
  weft::Program training_, evaluation_;
  weft::TokenBatch batch_;
  std::optional<weft::RunLock> lock_;
  std::optional<weft::JsonLines> log_;
  weft::ProgressBar progress_;
  std::int64_t first_step_ = 0;  ///< of this process
  std::size_t bytes_ = 0;        ///< of the store and of all programs
  std::int64_t saved_at_ = -1;   ///< the step that the save holds
  std::int64_t lost_in_a_row_ = 0;
  std::chrono::steady_clock::time_point started_;
};

}  // namespace train_gpt
