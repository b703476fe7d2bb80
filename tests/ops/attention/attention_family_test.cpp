// The block-wise kernels against dense attention by its definition, in f64, over drawn members of the family.
#include <support/catch.h>

#include <weft/weft.h>

#include <fmt/ranges.h>

#include <cmath>
#include <random>
#include <string>

using namespace weft;

namespace {

Tensor normal(Tensor::Extents extents, std::uint32_t stream, double deviation = 1) {
  Tensor drawn(f64, std::move(extents));
  normal_fill(drawn.data<double>(), drawn.size(), 0, random_key(11, stream), 0);
  for (std::int64_t i = 0; i < drawn.size(); ++i) drawn.data<double>()[i] *= deviation;
  return drawn;
}

double distance(const Tensor& a, const Tensor& b) {
  REQUIRE(a.extents() == b.extents());
  double worst = 0;
  for (std::int64_t i = 0; i < a.size(); ++i)
    if (!(a.at(i) == b.at(i))) worst = std::max(worst, std::abs(a.at(i) - b.at(i)) / (1 + std::abs(b.at(i))));
  return worst;
}

std::vector<std::byte> bytes_of(const Tensor& t) { return {t.raw(), t.raw() + t.bytes()}; }

// A drawn member: operands as parameters of the function that differentiates, options, and their description.
struct Member {
  Graph graph;
  std::vector<Tensor> tensors;
  std::vector<Feed> feeds;
  std::vector<Value> differentiated;
  Value q, k, v;
  AttentionOptions options;
  std::string text;

  Value feed(const std::string& name, Tensor value, bool smooth = true) {
    tensors.push_back(std::move(value));
    const Value in = graph.input(name, tensors.back().dtype(), Shape(tensors.back().extents()));
    names.push_back(name);
    if (smooth) differentiated.push_back(in);
    return in;
  }
  std::vector<std::string> names;

  // Both methods: y, logsumexp and the gradients of all that is differentiated.
  std::vector<Tensor> run(AttentionMethod method) {
    AttentionOptions with = options;
    with.method = method;
    const Values out = attention_outputs(q, k, v, with);
    graph.check();
    const Value d_y = graph.constant({out[0].type(), bytes_of(normal(out[0].shape().extents(), 77))});
    const Value d_l = graph.constant({out[1].type(), bytes_of(normal(out[1].shape().extents(), 78))});
    // A query without keys has logsumexp -inf, of which no gradient is asked.
    const Value finite = where(isfinite(out[1]), d_l, 0.0);
    const std::vector<Value> d = vector_jacobian({out[0], out[1]}, {d_y, finite}, differentiated);
    std::vector<Value> fetched{out[0], out[1]};
    for (const Value& value : d) fetched.push_back(value.valid() ? value : out[0]);
    std::vector<Feed> fed;
    for (std::size_t i = 0; i < names.size(); ++i) fed.emplace_back(names[i], tensors[i]);
    for (const std::string& name : names) fetched.push_back(graph.find_name(name));  // an unread input must not be fed
    std::vector<Tensor> result = evaluate(fetched, fed);
    result.resize(2 + d.size());
    return result;
  }
};

struct Draw {
  std::mt19937 bits;
  std::int64_t in(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(bits() % static_cast<unsigned>(high - low + 1));
  }
  bool one_in(std::int64_t n) { return in(1, n) == 1; }
};

void add_pattern(Member& m, Draw& draw, std::int64_t time_q, std::int64_t time_k, std::int64_t batch) {
  using namespace weft::pairs;
  switch (draw.in(0, 7)) {
    case 0:
      m.options.pairs = strided(draw.in(1, 5), draw.in(2, 9));
      m.text += " strided";
      break;
    case 1:
      m.options.pairs = pairs::local(draw.in(1, 40), draw.in(1, 50)) | pairs::global(draw.in(1, 4));
      m.text += " local | global";
      break;
    case 2:
      m.options.pairs = !pairs::local(draw.in(1, 70));
      m.text += " !local";
      break;
    case 3: {  // blocks at random
      const std::int64_t size = draw.in(1, 40);
      std::vector<std::vector<bool>> matrix(static_cast<std::size_t>((time_q + size - 1) / size));
      for (auto& row : matrix)
        for (std::int64_t j = 0; j < time_k; j += size) row.push_back(draw.one_in(3));
      m.options.pairs = blocks(matrix, size);
      m.text += " blocks";
      break;
    }
    case 4: {  // another pattern for each head
      m.options.pairs = [](const AttentionPlace& p) { return equal(remainder(p.query + p.key, p.head + 2), 0); };
      m.text += " by head";
      break;
    }
    case 5:
      if (time_q == time_k) {
        Tensor ids(i64, {batch, time_q});
        for (std::int64_t i = 0; i < ids.size(); ++i) ids.data<std::int64_t>()[i] = i % time_q / 23 + i / time_q;
        m.options.pairs = documents(m.feed("documents", ids, false));
        m.text += " documents";
      }
      break;
    default:
      break;
  }
}

void add_modifier(Member& m, Draw& draw, std::int64_t batch, std::int64_t heads, std::int64_t time_q,
                  std::int64_t time_k) {
  switch (draw.in(0, 5)) {
    case 0: {  // ALiBi with learned slopes
      const Value slope = m.feed("slope", normal({heads, 1, 1}, 20, 0.1));
      m.options.score = [slope](const AttentionScore& s) {
        return s.score - slope * cast(abs(s.position - s.key), f64);
      };
      m.text += " alibi";
      break;
    }
    case 1: {  // a table of clipped distances, for each head
      const Value table = m.feed("table", normal({heads, 9}, 21));
      m.options.score = [table](const AttentionScore& s) {
        const Value bucket = clamp(s.key - s.position, {.min = -4.0, .max = 4.0}) + 4;
        return s.score + take(table, s.head * 9 + bucket);
      };
      m.text += " table";
      break;
    }
    case 2: {  // gates by query and by key, not linear in the score
      const Value gate = m.feed("gate", normal({batch, 1, time_q, 1}, 22)),
                  lift = m.feed("lift", normal({1, 1, 1, time_k}, 23));
      m.options.score = [gate, lift](const AttentionScore& s) {
        return tanh(s.score * gate) * 2.0 + sigmoid(lift) * s.score;
      };
      m.text += " gates";
      break;
    }
    case 3: {  // a whole matrix, shared by examples and heads, times the score
      const Value matrix = m.feed("matrix", normal({time_q, time_k}, 24, 0.3));
      m.options.score = [matrix](const AttentionScore& s) { return s.score * (matrix + 1.0); };
      m.text += " matrix";
      break;
    }
    default:
      break;
  }
}

Member drawn(unsigned seed) {
  Draw draw{std::mt19937(seed)};
  Member m;
  const std::int64_t batch = draw.in(1, 3), kv_heads = draw.in(1, 3), heads = kv_heads * draw.in(1, 3);
  const std::int64_t lengths[] = {1, 2, 7, 47, 96, 130, 300}, time_q = lengths[draw.in(0, 6)];
  const std::int64_t time_k = draw.one_in(2) ? time_q : lengths[draw.in(0, 6)];
  const std::int64_t width = draw.in(1, 20), value_width = draw.one_in(2) ? width : draw.in(1, 20);
  const bool large = draw.one_in(8);
  m.text = fmt::format("seed {}: batch {}, heads {}/{}, {} x {}, widths {}, {}", seed, batch, heads, kv_heads, time_q,
                       time_k, width, value_width);
  m.q = m.feed("q", normal({batch, time_q, heads, width}, 1));
  m.k = m.feed("k", normal({batch, time_k, kv_heads, width}, 2));
  m.v = m.feed("v", normal({batch, time_k, kv_heads, value_width}, 3));
  AttentionOptions& o = m.options;
  if (large) o.scale = 1e4 / static_cast<double>(width), m.text += " large";
  o.causal = draw.one_in(2);
  o.temperature = draw.one_in(3) ? 0.7 : 1;
  if (draw.one_in(3)) o.offset = draw.in(-3, 9);
  if (draw.one_in(3)) {
    o.window = draw.in(1, 60);
    o.window_stride = draw.one_in(2) ? 1 : draw.in(1, 70);
    m.text += fmt::format(" window {}/{}", o.window, o.window_stride);
  }
  if (draw.one_in(4)) o.soft_cap = 3;
  if (draw.one_in(4)) o.clip = 1.5;
  if (draw.one_in(3)) {
    const std::vector<Tensor::Extents> shapes{{batch, heads, time_q, time_k},
                                              {heads, time_q, time_k},
                                              {time_q, time_k},
                                              {heads, 1, 1},
                                              {batch, 1, 1, time_k},
                                              {time_q, 1},
                                              {}};
    const auto& shape = shapes[static_cast<std::size_t>(draw.in(0, 6))];
    o.bias = m.feed("bias", normal(shape, 4));
    m.text += fmt::format(" bias [{}]", fmt::join(shape, ", "));
  }
  if (draw.one_in(4)) {
    Tensor mask(boolean, {batch, 1, time_q, time_k});
    for (std::int64_t i = 0; i < mask.size(); ++i) mask.data<bool>()[i] = i / time_k % 5 != 0 && draw.in(0, 2) > 0;
    o.mask = m.feed("mask", mask, false);
    m.text += " mask";
  }
  if (draw.one_in(4)) {
    Tensor lengths_of(i64, {batch});
    for (std::int64_t b = 0; b < batch; ++b) lengths_of.data<std::int64_t>()[b] = draw.in(0, time_k);
    o.lengths = m.feed("lengths", lengths_of, false);
    m.text += " lengths";
  }
  if (draw.one_in(5)) {
    Tensor start(i64, {batch});
    for (std::int64_t b = 0; b < batch; ++b) start.data<std::int64_t>()[b] = draw.in(0, 5);
    o.start = m.feed("start", start, false);
    m.text += " start";
  }
  if (draw.one_in(4)) {
    o.dropout = 0.3;
    o.stream = 5;
    m.text += " dropout";
  }
  add_modifier(m, draw, batch, heads, time_q, time_k);
  add_pattern(m, draw, time_q, time_k, batch);
  if (draw.one_in(3)) {
    o.block_queries = 16 * draw.in(1, 7);
    o.block_keys = draw.in(1, 300);
    m.text += fmt::format(" blocks of {} x {}", o.block_queries, o.block_keys);
  }
  return m;
}

}  // namespace

TEST_CASE("drawn members of the family equal dense attention in f64, forward and all gradients",
          "[core][ops][attention]") {
  for (unsigned seed = 0; seed < 120; ++seed) {
    Member m = drawn(seed);
    INFO(m.text);
    const std::vector<Tensor> fast = m.run(AttentionMethod::block_wise), plain = m.run(AttentionMethod::plain);
    for (std::size_t i = 0; i < fast.size(); ++i) {
      INFO("quantity " << i);
      CHECK(distance(fast[i], plain[i]) < (m.options.scale ? 1e-7 : 1e-11));
    }
  }
}
