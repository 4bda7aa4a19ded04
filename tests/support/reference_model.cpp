#include "reference_model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <utility>

namespace tmx::test {
namespace {

std::string layer_name(int layer, const std::string & name) {
    return "blk." + std::to_string(layer) + "." + name;
}

std::vector<double> softmax(const std::vector<double> & scores) {
    const double top = *std::max_element(scores.begin(), scores.end());
    std::vector<double> weights(scores.size());
    double sum = 0;
    for (size_t j = 0; j < scores.size(); ++j) {
        weights[j] = std::exp(scores[j] - top);
        sum += weights[j];
    }
    for (double & weight : weights) {
        weight /= sum;
    }
    return weights;
}

// Plain pointers where the time goes: the sanitizers' builds inline nothing.
double dot(const double * a, const double * b, int n) {
    double sum = 0;
    for (int c = 0; c < n; ++c) {
        sum += a[c] * b[c];
    }
    return sum;
}

}  // namespace

tiny_model make_tiny_model(const tiny_shape & s, uint32_t seed) {
    tiny_model model{s, {}};
    std::mt19937 engine(seed);
    // Uniform in [-1, 1), the same on every machine.
    const auto next = [&] { return static_cast<double>(engine()) / 2147483648.0 - 1.0; };
    const auto matrix = [&](const std::string & name, int n_rows, int n_cols, double size) {
        tiny_tensor & tensor = model.tensors[name];
        tensor = {n_rows, n_cols, std::vector<float>(static_cast<size_t>(n_rows) * static_cast<size_t>(n_cols))};
        for (float & value : tensor.values) {
            value = static_cast<float>(size * next() * std::sqrt(3.0 / n_cols));
        }
    };
    const auto vector = [&](const std::string & name, int n, double middle, double size) {
        tiny_tensor & tensor = model.tensors[name];
        tensor = {1, n, std::vector<float>(static_cast<size_t>(n))};
        for (float & value : tensor.values) {
            value = static_cast<float>(middle + size * next());
        }
    };
    const int n_q = s.n_head * s.d_head;
    const int n_kv = s.n_head_kv * s.d_head;
    matrix("token_embd.weight", s.n_vocab, s.n_embd, std::sqrt(static_cast<double>(s.n_embd)));
    vector("output_norm.weight", s.n_embd, 1, 0.5);
    if (!s.tied) {
        matrix("output.weight", s.n_vocab, s.n_embd, 2);
    }
    if (s.rope_factors) {
        vector("rope_freqs.weight", s.d_head / 2, 2, 1);
    }
    for (int layer = 0; layer < s.n_layer; ++layer) {
        const auto of = [&](const char * name) { return layer_name(layer, name); };
        vector(of("attn_norm.weight"), s.n_embd, 1, 0.5);
        // Larger than trained models': attention far from uniform.
        matrix(of("attn_q.weight"), n_q, s.n_embd, 1.5);
        matrix(of("attn_k.weight"), n_kv, s.n_embd, 1.5);
        matrix(of("attn_v.weight"), n_kv, s.n_embd, 1);
        matrix(of("attn_output.weight"), s.n_embd, n_q, 1);
        vector(of("ffn_norm.weight"), s.n_embd, 1, 0.5);
        matrix(of("ffn_gate.weight"), s.n_ff, s.n_embd, 1);
        matrix(of("ffn_up.weight"), s.n_ff, s.n_embd, 1);
        matrix(of("ffn_down.weight"), s.n_embd, s.n_ff, 1);
        if (s.architecture == "qwen3") {
            vector(of("attn_q_norm.weight"), s.d_head, 1.5, 0.5);
            vector(of("attn_k_norm.weight"), s.d_head, 1.5, 0.5);
        }
        if (s.architecture == "qwen2" || s.all_biases) {
            vector(of("attn_q.bias"), n_q, 0, 0.5);
            vector(of("attn_k.bias"), n_kv, 0, 0.5);
            vector(of("attn_v.bias"), n_kv, 0, 0.5);
        }
        if (s.all_biases) {
            vector(of("attn_output.bias"), s.n_embd, 0, 0.5);
            vector(of("ffn_gate.bias"), s.n_ff, 0, 0.5);
            vector(of("ffn_up.bias"), s.n_ff, 0, 0.5);
            vector(of("ffn_down.bias"), s.n_embd, 0, 0.5);
        }
    }
    return model;
}

reference_model::reference_model(const tiny_model & model, const std::vector<int> & tokens, pair_rule keeps)
    : model_(model), n_(static_cast<int>(tokens.size())), keeps_(std::move(keeps)) {
    const tiny_shape & s = model_.shape;
    const tiny_tensor & table = model_.tensors.at("token_embd.weight");
    std::vector<row> x;
    for (const int token : tokens) {
        const float * values = table.values.data() + static_cast<size_t>(token * table.n_cols);
        x.emplace_back(values, values + table.n_cols);
    }
    for (int layer = 0; layer < s.n_layer; ++layer) {
        layer_state state;
        state.x = x;
        state.p.q.resize(x.size());
        state.p.k.resize(x.size());
        state.p.v.resize(x.size());
        state.attention.assign(static_cast<size_t>(s.n_head), std::vector<row>(x.size()));
        for (int i = 0; i < n_; ++i) {
            const auto at = static_cast<size_t>(i);
            project(layer, x[at], i, state.p.q[at], state.p.k[at], state.p.v[at]);
        }
        for (int i = 0; i < n_; ++i) {
            const auto at = static_cast<size_t>(i);
            std::vector<row> attention(static_cast<size_t>(s.n_head));
            state.out.push_back(attend_row(layer, state.p, i, &attention));
            for (size_t h = 0; h < attention.size(); ++h) {
                state.attention[h][at] = attention[h];
            }
            x[at] = finish(layer, state.x[at], state.out[at]);
        }
        layers_.push_back(std::move(state));
    }
    top_ = std::move(x);
    logits_ = logits_behind(n_ - 1);
}

std::vector<double> reference_model::logits_behind(int i) const {
    std::vector<double> logits;
    for (int token = 0; token < model_.shape.n_vocab; ++token) {
        logits.push_back(logit(top_[static_cast<size_t>(i)], token));
    }
    return logits;
}

const tiny_tensor * reference_model::find(int layer, const std::string & name) const {
    const auto found = model_.tensors.find(layer_name(layer, name));
    return found == model_.tensors.end() ? nullptr : &found->second;
}

const tiny_tensor & reference_model::output() const {
    return model_.tensors.at(model_.shape.tied ? "token_embd.weight" : "output.weight");
}

// name.weight x + name.bias
reference_model::row reference_model::product(const row & x, int layer, const std::string & name) const {
    const tiny_tensor & weight = *find(layer, name + ".weight");
    const tiny_tensor * bias = find(layer, name + ".bias");
    row result(static_cast<size_t>(weight.n_rows));
    const float * values = weight.values.data();
    const double * from = x.data();
    double * to = result.data();
    for (int r = 0; r < weight.n_rows; ++r) {
        double sum = bias != nullptr ? static_cast<double>(bias->values[static_cast<size_t>(r)]) : 0.0;
        for (int c = 0; c < weight.n_cols; ++c) {
            sum += static_cast<double>(values[r * weight.n_cols + c]) * from[c];
        }
        to[r] = sum;
    }
    return result;
}

// Groups of weight.n_cols values, each divided by its root mean square.
reference_model::row reference_model::normalised(const row & x, const tiny_tensor & weight) const {
    row result = x;
    const auto width = static_cast<size_t>(weight.n_cols);
    for (size_t begin = 0; begin < x.size(); begin += width) {
        double square = 0;
        for (size_t c = 0; c < width; ++c) {
            square += x[begin + c] * x[begin + c];
        }
        const double rms = std::sqrt(square / static_cast<double>(width) + model_.shape.eps);
        for (size_t c = 0; c < width; ++c) {
            result[begin + c] = x[begin + c] / rms * static_cast<double>(weight.values[c]);
        }
    }
    return result;
}

void reference_model::rotate(row & x, int n_heads, int position) const {
    const tiny_shape & s = model_.shape;
    const int half = s.d_head / 2;
    for (int head = 0; head < n_heads; ++head) {
        for (int pair = 0; pair < half; ++pair) {
            double angle = position * std::pow(s.rope_base, -2.0 * pair / s.d_head);
            if (s.rope_factors) {
                angle /= static_cast<double>(model_.tensors.at("rope_freqs.weight").values[static_cast<size_t>(pair)]);
            }
            angle /= s.rope_factor;
            // llama rotates neighbours, qwen the two halves.
            const bool neighbours = s.architecture == "llama";
            const int first = head * s.d_head + (neighbours ? 2 * pair : pair);
            const int second = first + (neighbours ? 1 : half);
            const double a = x[static_cast<size_t>(first)];
            const double b = x[static_cast<size_t>(second)];
            x[static_cast<size_t>(first)] = a * std::cos(angle) - b * std::sin(angle);
            x[static_cast<size_t>(second)] = a * std::sin(angle) + b * std::cos(angle);
        }
    }
}

void reference_model::project(int layer, const row & x, int position, row & q, row & k, row & v) const {
    const row h = normalised(x, *find(layer, "attn_norm.weight"));
    q = product(h, layer, "attn_q");
    k = product(h, layer, "attn_k");
    v = product(h, layer, "attn_v");
    if (const tiny_tensor * norm = find(layer, "attn_q_norm.weight")) {
        q = normalised(q, *norm);
        k = normalised(k, *find(layer, "attn_k_norm.weight"));
    }
    rotate(q, model_.shape.n_head, position);
    rotate(k, model_.shape.n_head_kv, position);
}

// Minus infinity where the pair is left out: no weight behind the softmax.
reference_model::row reference_model::scores(int layer, int head, const row & q, const std::vector<row> & k,
                                             int i) const {
    const tiny_shape & s = model_.shape;
    const int kv = head / (s.n_head / s.n_head_kv);
    row result;
    for (int j = 0; j <= i; ++j) {
        const double * key = k[static_cast<size_t>(j)].data() + kv * s.d_head;
        const double score = dot(q.data() + head * s.d_head, key, s.d_head) / std::sqrt(static_cast<double>(s.d_head));
        const bool kept = !keeps_ || keeps_(layer, head, i, j);
        result.push_back(kept ? score : -std::numeric_limits<double>::infinity());
    }
    return result;
}

// sum_j weights[j] v[j] of one head, into its place in `out`.
void reference_model::gather(int head, const row & weights, const std::vector<row> & v, row & out) const {
    const tiny_shape & s = model_.shape;
    const int kv = head / (s.n_head / s.n_head_kv);
    double * to = out.data() + head * s.d_head;
    std::fill(to, to + s.d_head, 0.0);
    for (size_t j = 0; j < weights.size(); ++j) {
        const double weight = weights[j];
        const double * from = v[j].data() + kv * s.d_head;
        for (int c = 0; c < s.d_head; ++c) {
            to[c] += weight * from[c];
        }
    }
}

reference_model::row reference_model::attend_row(int layer, const projections & p, int i,
                                                 std::vector<row> * attention) const {
    const tiny_shape & s = model_.shape;
    row out(static_cast<size_t>(s.n_head * s.d_head), 0.0);
    for (int head = 0; head < s.n_head; ++head) {
        const row weights = softmax(scores(layer, head, p.q[static_cast<size_t>(i)], p.k, i));
        gather(head, weights, p.v, out);
        if (attention != nullptr) {
            (*attention)[static_cast<size_t>(head)] = weights;
        }
    }
    return out;
}

reference_model::row reference_model::finish(int layer, const row & x, const row & out) const {
    row y = product(out, layer, "attn_output");
    for (size_t c = 0; c < y.size(); ++c) {
        y[c] += x[c];
    }
    const row f = normalised(y, *find(layer, "ffn_norm.weight"));
    row gate = product(f, layer, "ffn_gate");
    const row up = product(f, layer, "ffn_up");
    for (size_t c = 0; c < gate.size(); ++c) {
        gate[c] = gate[c] / (1 + std::exp(-gate[c])) * up[c];
    }
    const row down = product(gate, layer, "ffn_down");
    for (size_t c = 0; c < y.size(); ++c) {
        y[c] += down[c];
    }
    return y;
}

double reference_model::logit(const row & x, int token) const {
    const row h = normalised(x, model_.tensors.at("output_norm.weight"));
    const tiny_tensor & matrix = output();
    double sum = 0;
    for (int c = 0; c < matrix.n_cols; ++c) {
        sum += static_cast<double>(matrix.values[static_cast<size_t>(token * matrix.n_cols + c)]) *
               h[static_cast<size_t>(c)];
    }
    return sum;
}

double reference_model::attention(int layer, int head, int i, int j) const {
    return layers_[static_cast<size_t>(layer)]
        .attention[static_cast<size_t>(head)][static_cast<size_t>(i)][static_cast<size_t>(j)];
}

// Only row i of the changed layer differs; above it, rows from i on; in the last layer only the last row matters.
double reference_model::logit_with(what kind, int layer, int head, int i, int j, double change, int target) {
    const tiny_shape & s = model_.shape;
    const layer_state & base = layers_[static_cast<size_t>(layer)];
    const auto row_i = static_cast<size_t>(i);
    row weights = base.attention[static_cast<size_t>(head)][row_i];
    if (kind == what::score) {
        row changed = scores(layer, head, base.p.q[row_i], base.p.k, i);
        changed[static_cast<size_t>(j)] += change;
        weights = softmax(changed);
    } else {
        weights[static_cast<size_t>(j)] += change;
    }
    row out = base.out[row_i];
    gather(head, weights, base.p.v, out);
    // Rows i, i + 1, ... of the input of the layer above, as far as they differ.
    std::vector<row> changed = {finish(layer, base.x[row_i], out)};
    for (int above = layer + 1; above < s.n_layer; ++above) {
        layer_state & state = layers_[static_cast<size_t>(above)];
        projections kept;
        for (size_t r = 0; r < changed.size(); ++r) {
            projections & p = state.p;
            const size_t at = row_i + r;
            kept.q.push_back(p.q[at]);
            kept.k.push_back(p.k[at]);
            kept.v.push_back(p.v[at]);
            project(above, changed[r], static_cast<int>(at), p.q[at], p.k[at], p.v[at]);
        }
        std::vector<row> next;
        for (int r = above == s.n_layer - 1 ? n_ - 1 : i; r < n_; ++r) {
            const auto at = static_cast<size_t>(r) - row_i;
            const row & x = at < changed.size() ? changed[at] : state.x[static_cast<size_t>(r)];
            next.push_back(finish(above, x, attend_row(above, state.p, r, nullptr)));
        }
        for (size_t r = 0; r < changed.size(); ++r) {
            state.p.q[row_i + r] = kept.q[r];
            state.p.k[row_i + r] = kept.k[r];
            state.p.v[row_i + r] = kept.v[r];
        }
        changed = std::move(next);
    }
    return logit(changed.back(), target);
}

double reference_model::derivative(what kind, int layer, int head, int i, int j, int target) {
    if (layer == model_.shape.n_layer - 1 && i != n_ - 1) {
        return 0;  // the last layer's other rows reach no logit
    }
    // Truncation grows with the square of the step, rounding falls with it: 1e-4 leaves both near 1e-8.
    const double step = 1e-4;
    return (logit_with(kind, layer, head, i, j, step, target) - logit_with(kind, layer, head, i, j, -step, target)) /
           (2 * step);
}

}  // namespace tmx::test
