// Each rule writes bits of the key heads that hold its heads into a workspace; a kernel takes those of its heads.
#include "select/cuda/heads_selector.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <exception>
#include <new>
#include <vector>

#include "select/head_parts.h"
#include "select/merge_heads.h"
#include "select/methods.h"

namespace tmx {
namespace {

constexpr int64_t k_aligned = 256;

int64_t aligned(int64_t bytes) {
    return (bytes + k_aligned - 1) / k_aligned * k_aligned;
}

class heads_selector final : public cuda_selector {
  public:
    explicit heads_selector(const selection_request & request)
        : rules_(request.heads.rules.begin(), request.heads.rules.end()),
          of_head_(request.heads.of_head.begin(), request.heads.of_head.end()),
          marks_(request.selected.begin(), request.selected.end()),
          request_(request) {
        request_.selected = marks_;
        request_.heads.rules = rules_;
        request_.heads.of_head = of_head_;
    }

    int64_t workspace_bytes(const attention_args & args,
                            std::span<const cuda_selected_rows> rows) const noexcept override try {
        int64_t most = 0;
        for (int32_t number = 0; number < n_rules(); ++number) {
            const rule_part part = part_of(number, args, rows, nullptr);
            const method_row & method = row_of_method(rule(number).method);
            if (!part.rows.empty() && method.cuda_workspace_bytes != nullptr) {
                most = larger(most, part.bits_bytes + method.cuda_workspace_bytes(
                                                          rule(number), without_pointers(part.args), part.rows));
            } else {
                most = larger(most, part.bits_bytes);
            }
        }
        return most;
    } catch (const std::exception &) {
        return 0;  // select() will run out of memory, too, before it needs the workspace
    }

    status select(const cuda_selection_call & call) const noexcept override try {
        for (const cuda_selected_rows & rows : call.rows) {
            const auto bytes = static_cast<size_t>(rows.shape.total_words()) * sizeof(uint32_t);
            if (const cudaError_t error = cudaMemsetAsync(rows.bits, 0, bytes, static_cast<cudaStream_t>(call.stream));
                error != cudaSuccess) {
                return status::error(status_code::device_error, "clearing bits: %s", cudaGetErrorString(error));
            }
            const index_range all{0, call.args.n_head_kv};
            if (status s = merge(k_keeps_all, rows, nullptr, all, call); !s.ok()) {
                return s;
            }
        }
        for (int32_t number = 0; number < n_rules(); ++number) {
            if (status s = select_rule(number, call); !s.ok()) {
                return s;
            }
        }
        return {};
    } catch (const std::bad_alloc &) {
        return status::error(status_code::out_of_memory, "no host memory to select blocks");
    } catch (const std::exception & e) {
        return status::error(status_code::device_error, "selecting blocks: %s", e.what());
    }

  private:
    // What one rule's method is called with.
    struct rule_part {
        index_range key_heads;
        attention_args args;
        std::vector<cuda_selected_rows> rows;  // where the rule is in force; bits lie in the workspace
        std::vector<size_t> numbers;           // of them, among the call's
        int64_t bits_bytes = 0;                // of the workspace, at its beginning
    };

    int32_t n_rules() const { return static_cast<int32_t>(rules_.size()); }
    const selection_rule & rule(int32_t number) const { return rules_[static_cast<size_t>(number)]; }

    static attention_args without_pointers(attention_args args) {
        args.q = nullptr;
        args.k = args.v = nullptr;
        args.sink_logit = args.alibi_slope = nullptr;
        args.dense_head = nullptr;
        return args;
    }

    rule_part part_of(int32_t number, const attention_args & args, std::span<const cuda_selected_rows> rows,
                      void * workspace) const {
        rule_part part;
        part.key_heads = key_heads_of(request_.heads, number, args.n_head / args.n_head_kv);
        if (part.key_heads.empty()) {
            return part;
        }
        part.args = with_key_heads(args, part.key_heads);
        for (size_t i = 0; i < rows.size(); ++i) {
            if (int32_t{marks_[rows[i].segment]} <= number) {
                continue;
            }
            cuda_selected_rows own = rows[i];
            own.shape.n_head = part.args.n_head;
            own.bits = workspace != nullptr
                           ? reinterpret_cast<uint32_t *>(static_cast<uint8_t *>(workspace) + part.bits_bytes)
                           : nullptr;
            part.bits_bytes += aligned(own.shape.total_words() * static_cast<int64_t>(sizeof(uint32_t)));
            part.rows.push_back(own);
            part.numbers.push_back(i);
        }
        return part;
    }

    status select_rule(int32_t number, const cuda_selection_call & call) const {
        const rule_part part = part_of(number, call.args, call.rows, call.workspace);
        if (part.rows.empty()) {
            return {};
        }
        void * rest = static_cast<uint8_t *>(call.workspace) + part.bits_bytes;
        const status selected =
            row_of_method(rule(number).method).on_cuda(rule(number), {part.args, part.rows, rest, call.stream});
        if (!selected.ok()) {
            return selected;
        }
        for (size_t i = 0; i < part.rows.size(); ++i) {
            const cuda_selected_rows & all = call.rows[part.numbers[i]];
            if (status s = merge(number, all, part.rows[i].bits, part.key_heads, call); !s.ok()) {
                return s;
            }
        }
        return {};
    }

    // Gives the heads of these key heads that do `what` in these rows the bits `from`; null: all bits.
    status merge(int32_t what, const cuda_selected_rows & rows, const uint32_t * from, index_range key_heads,
                 const cuda_selection_call & call) const {
        const uint8_t mark = marks_[rows.segment];
        const int64_t group = call.args.n_head / call.args.n_head_kv;
        const int64_t first = key_heads.begin * group;
        merged_heads heads;
        heads.from = from;
        heads.to = rows.bits + rows.shape.first_word(first, 0);
        heads.head_words = rows.shape.n_tiles() * rows.shape.n_words();
        heads.n_heads = static_cast<int32_t>(key_heads.size() * group);
        heads.group = what >= 0 && shares_blocks(request_, rule(what)) ? static_cast<int32_t>(group) : 1;
        bool any = false;
        for (int32_t head = 0; head < heads.n_heads; ++head) {
            if (request_.heads.at(static_cast<size_t>(first + head), mark) == what) {
                heads.marked[static_cast<size_t>(head / 32)] |= uint32_t{1} << (head % 32);
                any = true;
            }
        }
        return any ? cuda_merge_heads(heads, call.stream) : status();
    }

    std::vector<selection_rule> rules_;
    std::vector<int32_t> of_head_;
    std::vector<uint8_t> marks_;
    selection_request request_;  // of these
};

}  // namespace

std::shared_ptr<const cuda_selector> make_heads_selector(const selection_request & request) {
    if (request.heads.of_head.size() > static_cast<size_t>(k_most_merged_heads)) {
        return nullptr;
    }
    return std::make_shared<heads_selector>(request);
}

}  // namespace tmx
