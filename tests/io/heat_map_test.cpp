#include <weft/graph/error.h>
#include <weft/io/heat_map.h>
#include <weft/io/label.h>

#include <support/catch.h>
#include <support/temporary_folder.h>

#include <boost/property_tree/ptree.hpp>
#include <boost/property_tree/xml_parser.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <sstream>

using namespace weft;

namespace {

using Tree = boost::property_tree::ptree;

// A line of text on the page, by the measure of io/label.h.
struct Ink {
  std::string text;
  double left, right, top, bottom;
  bool meets(const Ink& other) const {
    return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
  }
};

struct Page {
  double width = 0, height = 0;
  std::vector<Ink> texts;
  std::int64_t cells = 0;
  std::set<std::string> colours;  // of cells

  explicit Page(const std::string& svg) {
    std::istringstream in(svg);
    Tree tree;
    read_xml(in, tree);
    const Tree& root = tree.get_child("svg");
    width = root.get<double>("<xmlattr>.width");
    height = root.get<double>("<xmlattr>.height");
    CHECK(root.get<std::string>("<xmlattr>.viewBox") == fmt::format("0 0 {} {}", width, height));
    walk(root, 0, "start");
  }

  bool has(const std::string& text) const {
    return std::ranges::any_of(texts, [&](const Ink& ink) { return ink.text == text; });
  }
  void check_layout() const {
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const Ink& ink = texts[i];
      INFO(ink.text);
      CHECK((ink.left >= 0 && ink.right <= width && ink.top >= 0 && ink.bottom <= height));
      for (std::size_t j = 0; j < i; ++j)
        if (ink.meets(texts[j])) FAIL_CHECK("'" << ink.text << "' lies on '" << texts[j].text << "'");
    }
  }

 private:
  void walk(const Tree& node, double size, std::string anchor) {
    size = node.get("<xmlattr>.font-size", size);
    anchor = node.get("<xmlattr>.text-anchor", anchor);
    for (const auto& [name, child] : node) {
      if (name == "text")
        add(child, child.get("<xmlattr>.font-size", size), child.get("<xmlattr>.text-anchor", anchor));
      else if (name == "path" && child.count("<xmlattr>") > 0 && child.get<std::string>("<xmlattr>.fill", "") != "")
        count(child);
      else if (name != "<xmlattr>") walk(child, size, anchor);
    }
  }
  void add(const Tree& node, double size, const std::string& anchor) {
    const std::string text = node.data();
    const double length = label_ems(text) * size;
    double x = node.get("<xmlattr>.x", 0.0), y = node.get("<xmlattr>.y", 0.0);
    const std::string transform = node.get<std::string>("<xmlattr>.transform", "");
    if (transform.empty()) {
      x -= anchor == "end" ? length : anchor == "middle" ? length / 2 : 0;
      texts.push_back({text, x, x + length, y - 0.75 * size, y + 0.2 * size});
    } else {  // upwards from a point
      REQUIRE(std::sscanf(transform.c_str(), "translate(%lf %lf) rotate(-90)", &x, &y) == 2);
      REQUIRE(anchor == "start");
      texts.push_back({text, x - 0.75 * size, x + 0.2 * size, y - length, y});
    }
  }
  void count(const Tree& path) {
    colours.insert(path.get<std::string>("<xmlattr>.fill"));
    const std::string d = path.get<std::string>("<xmlattr>.d");
    for (std::size_t at = d.find('h'); at != std::string::npos; at = d.find('h', at + 1))
      cells += std::max<std::int64_t>(0, std::stol(d.substr(at + 1)));  // each rectangle goes right once, and back
  }
};

Tensor softmax_like(std::int64_t heads, std::int64_t rows, std::int64_t columns) {
  Tensor w(f32, {heads, rows, columns});
  for (std::int64_t i = 0; i < heads * rows; ++i) {
    double sum = 0;
    const auto e = [&](std::int64_t j) {
      return j > i % rows && rows == columns ? 0.0 : std::exp(2 * std::sin(static_cast<double>(i * 7 + j * 5)));
    };
    for (std::int64_t j = 0; j < columns; ++j) sum += e(j);
    for (std::int64_t j = 0; j < columns; ++j) w.data<float>()[i * columns + j] = static_cast<float>(e(j) / sum);
  }
  return w;
}

std::vector<std::string> letters(std::int64_t count) {
  const std::string text = "In the beginning God created the heaven & the earth.\n\tAnd <it> was so: ";
  std::vector<std::string> labels;
  for (std::int64_t i = 0; i < count; ++i) labels.emplace_back(1, text[static_cast<std::size_t>(i) % text.size()]);
  return labels;
}

}  // namespace

TEST_CASE("a heat map is well-formed, has a cell for each weight, and no label is cut or lies on another",
          "[core][io][heat_map]") {
  const std::vector<std::string> words{"The",    "animal",  "did", "not", "cross", "the",
                                       "street", "because", "it",  "was", "too",   "tired"};
  std::vector<std::string> odd{"a rather long label that will not fit",
                               "",
                               " ",
                               "\n",
                               "<&\"'>",
                               "\xe4\xb8\xad\xe6\x96\x87",
                               "\xff",
                               "\xcc\x81",
                               "\xf0\x9f\x99\x82 smile",
                               "x"};
  const struct {
    std::int64_t heads, rows, columns;
    std::vector<std::string> row_labels, column_labels;
    std::string title;
    std::int64_t layers = 1;
  } cases[] = {
      {1, 12, 12, words, words, "decoder/0/attention"},
      {3, 10, 12, odd, words, "encoder <0> & more"},
      {5, 12, 10, words, odd, ""},
      {4, 1, 1, {}, {}, "one key"},
      {11, 3, 40, {}, {}, "many heads", 2},
      {4, 64, 64, letters(64), letters(64), "characters", 2},
      {1, 128, 128, letters(128), letters(128), "many characters"},
  };
  for (const auto& c : cases) {
    INFO(c.title << " " << c.heads << " " << c.rows << " " << c.columns);
    const std::vector<HeatMapLayer> layers(
        static_cast<std::size_t>(c.layers),
        {c.title, softmax_like(c.heads, c.rows, c.columns), c.row_labels, c.column_labels});
    const HeatMap map = heat_map(layers, {.title = "A title that is wider than what stands below it"});
    const Page page(map.svg());
    CHECK(page.cells == c.layers * c.heads * c.rows * c.columns);
    page.check_layout();
    CHECK(page.has(map.title));
    CHECK(page.has("rows: query, columns: key"));
    for (std::int64_t head = 0; head < c.heads; ++head) CHECK(page.has(fmt::format("head {}", head)));
    for (const HeatMap::Layer& layer : map.layers)
      for (const auto* labels : {&layer.rows, &layer.columns})
        for (const std::string& label : *labels) CHECK(page.has(label));
  }
}

TEST_CASE("labels show what is invisible, and are shortened by characters", "[core][io][heat_map]") {
  CHECK(visible_label(" the", 16) == "␣the");
  CHECK(visible_label("a\nb\tc\rd\x7f", 16) == "a↵b⇥c␍d␡");
  CHECK(visible_label("\u00a0|\u200b|\ufeff", 30) == "U+00A0|U+200B|U+FEFF");
  CHECK(visible_label("\xe2\x82", 16) == "\\xE2\\x82");
  CHECK(visible_label("\u0301e\u0301", 16) == "\u25cc\u0301e\u0301");
  CHECK(visible_label("abcdef", 6) == "abcdef");
  CHECK(visible_label("abcdefg", 6) == "abcde…");
  CHECK(visible_label("e\u0301e\u0301e\u0301", 2) == "e\u0301…");
  CHECK(visible_label("abc", 1) == "…");
  CHECK(visible_title("two words", 30) == "two words");
  CHECK(label_columns("a\u0301\u4e2d") == 3);
  CHECK(label_characters("a\u0301\u4e2d") == std::vector<std::string>{"a\u0301", "\u4e2d"});
  CHECK(label_ems("abc") == Approx(3 * 0.61));
  CHECK_THROWS_WITH(visible_label("abc", 0), ContainsSubstring("at least 1 character, got 0"));
}

TEST_CASE("rows, columns and peaks are divided as they say, and zeros stay zeros", "[core][io][heat_map]") {
  const std::vector<HeatMapLayer> layers{{"w", Tensor::of<double>({1, 3, 2}, {1, 3, 0, 0, -2, 6})}};
  const auto values = [&](HeatMapDivide divide) { return heat_map(layers, {.divide = divide}).panels.front().values; };
  CHECK(values(HeatMapDivide::nothing) == std::vector<double>{1, 3, 0, 0, -2, 6});
  CHECK(values(HeatMapDivide::rows) == std::vector<double>{0.25, 0.75, 0, 0, -0.25, 0.75});
  CHECK(values(HeatMapDivide::columns) == std::vector<double>{1.0 / 3, 1.0 / 3, 0, 0, -2.0 / 3, 2.0 / 3});
  CHECK(values(HeatMapDivide::row_peaks) == std::vector<double>{1.0 / 3, 1, 0, 0, -1.0 / 3, 1});
  const HeatMap map = heat_map(layers, {.divide = HeatMapDivide::columns});
  CHECK(map.low == -2.0 / 3);
  CHECK(map.high == 2.0 / 3);
  CHECK_THAT(map.subtitle, ContainsSubstring("each column sums to one"));
  const HeatMap zero = heat_map({{"z", Tensor(f32, {1, 2, 2})}}, {.divide = HeatMapDivide::rows});
  CHECK(zero.panels.front().values == std::vector<double>(4, 0.0));
  CHECK(zero.high > zero.low);
}

TEST_CASE("the heads and the example that were asked for are drawn", "[core][io][heat_map]") {
  Tensor w(f32, {2, 3, 1, 2});
  for (std::int64_t i = 0; i < w.size(); ++i) w.data<float>()[i] = static_cast<float>(i);
  const HeatMap map = heat_map({{"a", w}, {"b", w}}, {.heads = {2, 0}, .example = 1});
  REQUIRE(map.panels.size() == 4);
  CHECK(map.panels[0].values == std::vector<double>{10, 11});
  CHECK(map.panels[1].values == std::vector<double>{6, 7});
  CHECK(map.panels[3].layer == 1);
  CHECK(map.panels[3].head == 0);
  CHECK(map.layers[1].columns == std::vector<std::string>{"0", "1"});
}

TEST_CASE("colours run from white to dark by equal shares of the range, as published", "[core][io][heat_map]") {
  // The ends of devon.txt (Crameri, doi 10.5281/zenodo.1243862).
  const Page page(heat_map({{"w", Tensor::of<float>({1, 1, 3}, {-1, 0, 7})}}, {.range = std::pair{0.0, 5.0}}).svg());
  CHECK(page.colours == std::set<std::string>{"#ffffff", "#2c1a4c"});  // what lies outside is drawn as the end
  const Page middle(heat_map({{"w", Tensor::of<float>({1, 1, 1}, {0.5F})}}, {.range = std::pair{0.0, 1.0}}).svg());
  REQUIRE(middle.colours.size() == 1);
  unsigned red = 0, green = 0, blue = 0;
  REQUIRE(std::sscanf(middle.colours.begin()->c_str(), "#%2x%2x%2x", &red, &green, &blue) == 3);
  CHECK(std::abs(static_cast<int>(red) - 0x7d) <= 1);  // row 128 of devon.txt, back to front
  CHECK(std::abs(static_cast<int>(green) - 0x8e) <= 1);
  CHECK(std::abs(static_cast<int>(blue) - 0xdc) <= 1);
}

TEST_CASE("what is not finite has a colour of its own and is counted", "[core][io][heat_map]") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const HeatMap map =
      heat_map({{"w", Tensor::of<float>({1, 2, 2}, {nan, 0.5F, inf, 0.25F})}}, {.divide = HeatMapDivide::rows});
  CHECK(map.not_finite == 2);
  CHECK(map.panels[0].at(0, 1) == 1);
  CHECK(map.panels[0].at(1, 1) == 1);
  const Page page(map.svg());
  CHECK(page.cells == 4);
  CHECK(page.colours.contains("#d95f02"));
  CHECK(page.has("not finite: 2"));
  CHECK_THAT(map.str(), ContainsSubstring("0 |??██|") && ContainsSubstring("?: not finite, 2"));
}

TEST_CASE("a heat map reads as text", "[core][io][heat_map]") {
  const Tensor w = Tensor::of<double>({1, 2, 3}, {1, 0, 0, 0.25, 0.7, 0.05});
  const HeatMap map = heat_map({{"self", w, {"a", "\n"}, {"a", "\n", "bc"}}}, {.title = "T"});
  CHECK(map.str() ==
        "T\n"
        "rows: query, columns: key\n"
        "\n"
        "self, head 0\n"
        "       b\n"
        "   a ↵ c\n"
        "a |██    |\n"
        "↵ |░░▓▓  |\n"
        "\n"
        "\" \" 0, \"░\" 0.25, \"▒\" 0.5, \"▓\" 0.75, \"█\" 1\n");
  CHECK(map.str({.digits = true, .width = 6}) ==
        "T\n"
        "rows: query, columns: key\n"
        "\n"
        "self, head 0\n"
        "\n"
        "   a↵\n"
        "a |9.|\n"
        "↵ |27|\n"
        "\n"
        "   b\n"
        "   c\n"
        "a |.|\n"
        "↵ |0|\n"
        "\n"
        "0 to 9: tenths of the way from 0 to 1; .: 0\n");
  // Wide characters take two columns, and the lines stay aligned.
  const HeatMap wide = heat_map({{"", w, {"中", "a"}, {"中", "b", "c"}}});
  CHECK_THAT(wide.str({.width = 12}), ContainsSubstring("head 0\n    中b c\n中 |██    |\n a |░░▓▓  |\n"));
  CHECK_THROWS_WITH(wide.str({.width = 6}),
                    ContainsSubstring("needs 7 columns for its labels and a cell, got a width of 6"));
}

TEST_CASE("a heat map is written whole, as picture or text", "[core][io][heat_map]") {
  const test::TemporaryFolder folder;
  const HeatMap map = heat_map({{"w", Tensor(f32, {1, 2, 2})}});
  write_heat_map(folder / "a.svg", map);
  write_heat_map(folder / "a.txt", map);
  CHECK(test::bytes_of(folder / "a.svg") == map.svg());
  CHECK(test::bytes_of(folder / "a.txt") == map.str());
  CHECK_THROWS_WITH(write_heat_map(folder / "a.png", map),
                    ContainsSubstring("as .svg or .txt, got") && ContainsSubstring("a.png"));
  CHECK_THROWS_WITH(expect_heat_map_file(folder / "none/a.svg"), ContainsSubstring("there is no folder"));
}

TEST_CASE("weights that cannot be drawn are refused by what is wrong with them", "[core][io][heat_map][errors]") {
  const Tensor w(f32, {2, 3, 4});
  const std::vector<std::string> two{"a", "b"}, three{"a", "b", "c"};
  CHECK_THROWS_WITH(heat_map({}), ContainsSubstring("there is no layer"));
  CHECK_THROWS_WITH(heat_map({{"self", w, two}}),
                    ContainsSubstring("heat map self: 2 labels of rows, the weights have 3 rows"));
  CHECK_THROWS_WITH(heat_map({{"", w, three, three}}),
                    ContainsSubstring("heat map layer 0: 3 labels of columns, the weights have 4 columns"));
  CHECK_THROWS_WITH(heat_map({{"self", w}}, {.heads = {0, 2}}),
                    ContainsSubstring("there is no head 2, its heads are 0 to 1"));
  CHECK_THROWS_WITH(heat_map({{"self", w}}, {.heads = {-1}}), ContainsSubstring("there is no head -1"));
  CHECK_THROWS_WITH(heat_map({{"self", w}}, {.example = 1}), ContainsSubstring("example 1 of a batch of 1"));
  CHECK_THROWS_WITH(heat_map({{"self", Tensor(f32, {3, 4})}}),
                    ContainsSubstring("[heads, rows, columns]") && ContainsSubstring("got f32[3, 4]"));
  CHECK_THROWS_WITH(heat_map({{"self", Tensor(i64, {2, 3, 4})}}), ContainsSubstring("floating type, got i64"));
  CHECK_THROWS_WITH(heat_map({{"self", Tensor(f32, {1, 3, 0})}}), ContainsSubstring("nothing to draw"));
  CHECK_THROWS_WITH(heat_map({{"self", Tensor(f32, {8, 1024, 1024})}}),
                    ContainsSubstring("at most 4194304 cells") && ContainsSubstring("8388608"));
  CHECK_THROWS_WITH(heat_map({{"self", w}}, {.range = std::pair{1.0, 1.0}}), ContainsSubstring("got 1 to 1"));
  CHECK_THROWS_WITH(heat_map({{"self", w}}, {.panels_in_line = 0}),
                    ContainsSubstring("at least 1 panel in a line, got 0"));
}
