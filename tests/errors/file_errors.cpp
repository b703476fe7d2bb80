#include "gallery.h"

#include <weft/weft.h>

namespace weft::gallery {

Group file_errors() {
  return {"Files, text and pictures",
          "file_errors.cpp",
          {
              {"A checkpoint that is not there",
               {"there is no file 'run.safetensors'"},
               [] {
                 Graph graph;
                 Store store(graph);
                 load_run("run.safetensors", store);
               }},
              {"A checkpoint of another model",
               {"'run.safetensors' was saved by another model:", "'w' is f32[2] in the file, f32[4] in the model"},
               [] {
                 Graph old, current;
                 old.parameter("w", {f32, {2}}, init::ones());
                 current.parameter("w", {f32, {4}}, init::ones());
                 save_run("run.safetensors", Store(old));
                 Store store(current);
                 load_run("run.safetensors", store);
               }},
              {"A file of tensors that is no saved run",
               {"'plain.safetensors' is not a saved run: it has no 'weft.run'"},
               [] {
                 Graph graph;
                 Store store(graph);
                 write_safetensors("plain.safetensors", {{{"w", Tensor(f32, {2})}}, {}});
                 load_run("plain.safetensors", store);
               }},
              {"A note of a name that is weft's own",
               {"a note of a saved run cannot be named 'weft.seed': 'weft.' is taken"},
               [] {
                 Graph graph;
                 save_run("run.safetensors", Store(graph), {{"weft.seed", "7"}});
               }},
              {"A file that was cut short",
               {"'memory' is not a sound safetensors file: "},
               [] { parse_safetensors(std::string("\x40\0\0\0\0\0\0\0{\"w\":", 13)); }},
              {"A folder that does not exist",
               {"cannot write 'results/run.safetensors': there is no folder 'results'"},
               [] { write_safetensors("results/run.safetensors", {}); }},
              {"A text that is not there", {"there is no text file 'corpus.txt'"}, [] { read_text("corpus.txt"); }},
              {"A text that is no UTF-8",
               {"the text is not UTF-8: byte 0xe4 at offset 1; hint: iconv -t UTF-8"},
               [] { decode_utf8("W\xe4hrung"); }},
              {"A character that is not in the vocabulary",
               {"character 2 of the text, U+0078 'x', is not among the 3 of the vocabulary"},
               [] { CharVocabulary(U"abc").encode(U"abx"); }},
              {"A token that the vocabulary has not",
               {"token 9 is outside a vocabulary of 3"},
               [] { CharVocabulary(U"abc").decode(std::vector<std::int32_t>{0, 9}); }},
              {"A text shorter than one window",
               {"windows of 16 tokens and their targets need at least 17 tokens, there are 4"},
               [] {
                 const std::vector<std::int32_t> tokens{1, 2, 3, 4};
                 TokenBatch batch(8, 16);
                 draw_windows(tokens, batch, 1, 0);
               }},
              {"A picture of what is no matrix",
               {"weights must be [heads, rows, columns] or [batch, heads, rows, columns] of a floating type, got "
                "f32[4, 4]"},
               [] { heat_map({{.title = "layer 0", .weights = Tensor(f32, {4, 4})}}); }},
              {"A picture in a format that there is not",
               {"a heat map is written as .svg or .txt, got 'attention.png'"},
               [] {
                 write_heat_map("attention.png", heat_map({{.title = "layer 0", .weights = Tensor(f32, {1, 4, 4})}}));
               }},
          }};
}

}  // namespace weft::gallery
