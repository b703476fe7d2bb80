// train_gpt: a GPT learns the characters of a text. `train_gpt --help` lists the flags.
//
//   options.*  flags        recipe.*  what a save must remember    data.*  text to tokens
//   model.cpp  the graph and its two steps    trainer.*  the loop    sampler.*  text from the model
//   attention_picture.*  what the model looks at
#include "data.h"
#include "options.h"
#include "trainer.h"

#include <weft/graph/error.h>
#include <weft/io/run_state.h>
#include <weft/runtime/parallel.h>

#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <exception>

namespace {

extern "C" void request_stop(int signal) {
  train_gpt::stop_requested = 1;
  std::signal(signal, SIG_DFL);  // a second one ends at once
}

void run(const train_gpt::Options& options) {
  using namespace train_gpt;
  Recipe recipe = options.recipe;
  if (!options.resume.empty()) {
    const weft::Metadata notes = weft::read_run_notes(options.resume);
    const auto saved = notes.find("train_gpt");
    WEFT_CHECK(saved != notes.end(), "'{}' was not saved by train_gpt", options.resume);
    recipe = merge_saved(options, from_json(saved->second));
  }
  resolve(recipe);
  if (options.threads > 0) weft::set_threads(options.threads);
  Data data = read_data(options, recipe);
  Trainer trainer(options, recipe, std::move(data));
  std::signal(SIGINT, request_stop);
  std::signal(SIGTERM, request_stop);
  trainer.run();
}

}  // namespace

int main(int argc, char** argv) {
  const train_gpt::ParsedOptions parsed = train_gpt::parse_options(argc, argv);
  if (!parsed.options) return parsed.exit_code;
  try {
    run(*parsed.options);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "train_gpt: {}\n", error.what());
    return 1;
  }
}
