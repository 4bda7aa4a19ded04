#include "glue/layout_probe.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "glue/abi.h"

namespace tmx {
namespace {

// Operations and types, by number.

struct named_op {
    ggml_op op;
    std::string_view name;
};

// All that src/glue asks for.
constexpr named_op k_ops[] = {
    {GGML_OP_NONE, "NONE"},
    {GGML_OP_RESHAPE, "RESHAPE"},
    {GGML_OP_VIEW, "VIEW"},
    {GGML_OP_PERMUTE, "PERMUTE"},
    {GGML_OP_CPY, "CPY"},
    {GGML_OP_CONT, "CONT"},
    {GGML_OP_CONCAT, "CONCAT"},
    {GGML_OP_TRANSPOSE, "TRANSPOSE"},
    {GGML_OP_MUL_MAT, "MUL_MAT"},
    {GGML_OP_MUL_MAT_ID, "MUL_MAT_ID"},
    {GGML_OP_ROPE, "ROPE"},
    {GGML_OP_SET_ROWS, "SET_ROWS"},
    {GGML_OP_GET_ROWS, "GET_ROWS"},
    {GGML_OP_SOFT_MAX, "SOFT_MAX"},
    {GGML_OP_MUL, "MUL"},
    {GGML_OP_RMS_NORM, "RMS_NORM"},
    {GGML_OP_ADD, "ADD"},
    {GGML_OP_DUP, "DUP"},
    {GGML_OP_FLASH_ATTN_EXT, "FLASH_ATTN_EXT"},
};

struct sized_type {
    ggml_type type;
    std::string_view name;
    size_t block_bytes;
};

constexpr sized_type k_types[] = {
    {GGML_TYPE_F32, "f32", 4},     {GGML_TYPE_F16, "f16", 2},     {GGML_TYPE_BF16, "bf16", 2},
    {GGML_TYPE_I32, "i32", 4},     {GGML_TYPE_I64, "i64", 8},     {GGML_TYPE_Q8_0, "q8_0", 34},
    {GGML_TYPE_Q4_0, "q4_0", 18},  {GGML_TYPE_Q4_1, "q4_1", 20},  {GGML_TYPE_Q5_0, "q5_0", 22},
    {GGML_TYPE_Q5_1, "q5_1", 24},  {GGML_TYPE_Q4_K, "q4_K", 144}, {GGML_TYPE_Q5_K, "q5_K", 176},
    {GGML_TYPE_Q6_K, "q6_K", 210},
};

std::string joined(std::initializer_list<std::string_view> parts) {
    std::string text;
    for (const std::string_view part : parts) {
        text += part;
    }
    return text;
}

std::string number_named(std::string_view what, int number, const char * there, std::string_view here) {
    return joined(
        {what, " ", std::to_string(number), " is ", there != nullptr ? there : "nothing", " there, ", here, " here"});
}

std::string bytes_differ(std::string_view what, size_t there, size_t here) {
    return joined({what, " ", std::to_string(there), " bytes there, ", std::to_string(here), " here"});
}

std::string names_differ() {
    for (const named_op & each : k_ops) {
        if (const char * name = ggml_op_name(each.op); name == nullptr || name != each.name) {
            return number_named("operation", each.op, name, each.name);
        }
    }
    for (const sized_type & each : k_types) {
        if (const char * name = ggml_type_name(each.type); name == nullptr || name != each.name) {
            return number_named("type", each.type, name, each.name);
        }
        if (const size_t size = ggml_type_size(each.type); size != each.block_bytes) {
            return bytes_differ(joined({"a block of ", each.name, " has"}), size, each.block_bytes);
        }
    }
    return "";
}

// Tensors and graphs, by field.

struct free_context {
    void operator()(ggml_context * context) const { ggml_free(context); }
};
using context_ptr = std::unique_ptr<ggml_context, free_context>;

context_ptr tensors_only() {
    return context_ptr(ggml_init({.mem_size = size_t{1} << 20, .mem_buffer = nullptr, .no_alloc = true}));
}

// Keeps the first difference found.
void note(std::string & found, bool same, const char * difference) {
    if (!same && found.empty()) {
        found = difference;
    }
}

constexpr size_t k_object_bytes = 32;  // what a context writes before each tensor

std::string tensors_differ() {
    // How large a tensor is there: it must be known before a field is read.
    if (ggml_tensor_overhead() != sizeof(ggml_tensor) + k_object_bytes) {
        return bytes_differ("a tensor takes", ggml_tensor_overhead(), sizeof(ggml_tensor) + k_object_bytes);
    }
    const context_ptr context = tensors_only();
    if (context == nullptr) {
        return "it makes no tensors";
    }
    ggml_tensor * q = ggml_new_tensor_4d(context.get(), GGML_TYPE_F32, 64, 96, 4, 1);
    ggml_tensor * k = ggml_new_tensor_4d(context.get(), GGML_TYPE_F16, 64, 256, 2, 1);
    ggml_tensor * v = ggml_new_tensor_4d(context.get(), GGML_TYPE_F16, 64, 256, 2, 1);
    ggml_tensor * mask = ggml_new_tensor_4d(context.get(), GGML_TYPE_F16, 256, 96, 1, 1);
    ggml_tensor * attention = ggml_flash_attn_ext(context.get(), q, k, v, mask, 0.125F, 0.0F, 30.0F);
    ggml_tensor * view = ggml_view_1d(context.get(), k, 32, 128);
    ggml_set_name(k, "cache_k_l7");
    ggml_set_output(k);
    float parameters[3];
    std::memcpy(parameters, attention->op_params, sizeof(parameters));

    std::string found;
    note(found, k->type == GGML_TYPE_F16 && q->type == GGML_TYPE_F32, "a tensor's type lies elsewhere");
    note(found, k->ne[0] == 64 && k->ne[1] == 256 && k->ne[2] == 2 && k->ne[3] == 1, "a tensor's ne lie elsewhere");
    note(found, k->nb[0] == 2 && k->nb[1] == 128 && k->nb[2] == 32768 && k->nb[3] == 65536,
         "a tensor's nb lie elsewhere");
    note(found, attention->op == GGML_OP_FLASH_ATTN_EXT, "a tensor's op lies elsewhere");
    note(found, parameters[0] == 0.125F && parameters[1] == 0.0F && parameters[2] == 30.0F,
         "a tensor's op_params lie elsewhere, or attention's are others");
    note(found, attention->src[0] == q && attention->src[1] == k && attention->src[2] == v && attention->src[3] == mask,
         "a tensor's src lie elsewhere, or attention's are others");
    note(found, view->view_src == k && view->view_offs == 128, "a tensor's view_src lies elsewhere");
    note(found, std::strcmp(ggml_get_name(k), k->name) == 0, "a tensor's name lies elsewhere");
    note(found, k->buffer == nullptr && k->data == nullptr, "a tensor's buffer or data lie elsewhere");
    note(found, k->flags == GGML_TENSOR_FLAG_OUTPUT, "a tensor's flags lie elsewhere");
    return found;
}

std::string graphs_differ() {
    const context_ptr context = tensors_only();
    if (context == nullptr) {
        return "it makes no tensors";
    }
    ggml_tensor * a = ggml_new_tensor_1d(context.get(), GGML_TYPE_F32, 8);
    ggml_tensor * product = ggml_mul(context.get(), ggml_add(context.get(), a, a), a);
    ggml_cgraph * graph = ggml_new_graph_custom(context.get(), 16, false);
    ggml_build_forward_expand(graph, product);

    std::string found;
    note(found, graph->size == ggml_graph_size(graph), "a graph's size lies elsewhere");
    note(found, graph->n_nodes == 2 && ggml_graph_n_nodes(graph) == 2, "a graph's n_nodes lie elsewhere");
    note(found, graph->n_leafs == 1, "a graph's n_leafs lie elsewhere");
    note(found, graph->nodes == ggml_graph_nodes(graph), "a graph's nodes lie elsewhere");
    const ggml_hash_set & set = graph->visited_hash_set;
    note(found, set.size >= 16 && set.size < 4096, "a graph's set of tensors lies elsewhere");
    if (!found.empty()) {
        return found;
    }
    size_t known = 0;
    for (size_t i = 0; i < set.size; ++i) {
        const bool used = ggml_bitset_get(set.used, i);
        known += used && (set.keys[i] == a || set.keys[i] == product || set.keys[i] == product->src[0]) ? 1 : 0;
    }
    note(found, known == 3, "a graph's set of tensors holds others");
    return found;
}

// Interface tables, by position: each word of a fake object is a function that notes its number and returns 0, whatever
// it is called with, also behind the object's end; then ggml's own functions are called on the object.

constexpr int k_fake_words = 64;
constexpr int k_no_word = -1;
int last_word = k_no_word;

template <int word>
uintptr_t note_word() noexcept {
    last_word = word;
    return 0;
}

using word_function = uintptr_t (*)() noexcept;

template <int... words>
void fill(void * object, std::integer_sequence<int, words...>) {
    const word_function functions[] = {&note_word<words>...};
    std::memcpy(object, functions, sizeof(functions));
}

template <class Object>
class fake {
  public:
    fake() { fill(memory_, std::make_integer_sequence<int, k_fake_words>()); }
    Object * operator&() { return reinterpret_cast<Object *>(memory_); }
    Object * operator->() { return reinterpret_cast<Object *>(memory_); }

  private:
    static_assert(sizeof(Object) <= k_fake_words * sizeof(word_function));
    alignas(Object) unsigned char memory_[k_fake_words * sizeof(word_function)];
};

// Which slot of a table calls went to, and should have gone to.
class slot_check {
  public:
    slot_check(const char * table, size_t table_offset) : table_(table), table_offset_(table_offset) {}

    template <class Call>
    void expect(const char * slot, size_t offset, const Call & call) {
        if (!difference_.empty()) {
            return;
        }
        last_word = k_no_word;
        call();
        const int due = static_cast<int>((table_offset_ + offset) / sizeof(word_function));
        if (last_word != due) {
            const std::string there = last_word == k_no_word ? "unknown" : std::to_string(last_word);
            difference_ = joined({slot, " of ", table_, " is word ", there, " of its object there, word ",
                                  std::to_string(due), " here"});
        }
    }
    const std::string & difference() const { return difference_; }

  private:
    const char * table_;
    size_t table_offset_;
    std::string difference_;
};

#define TMX_CHECK(object) slot_check check(#object "'s table", offsetof(object, iface))
#define TMX_SLOT(object, slot, ...) \
    check.expect(#slot, offsetof(decltype(object::iface), slot), [&] { static_cast<void>(__VA_ARGS__); })

std::string registries_differ() {
    fake<ggml_backend_reg> reg;
    TMX_CHECK(ggml_backend_reg);
    TMX_SLOT(ggml_backend_reg, get_name, ggml_backend_reg_name(&reg));
    TMX_SLOT(ggml_backend_reg, get_device_count, ggml_backend_reg_dev_count(&reg));
    TMX_SLOT(ggml_backend_reg, get_device, ggml_backend_reg_dev_get(&reg, 0));
    TMX_SLOT(ggml_backend_reg, get_proc_address, ggml_backend_reg_get_proc_address(&reg, ""));
    return check.difference();
}

std::string buffer_types_differ() {
    fake<ggml_backend_buffer_type> type;
    TMX_CHECK(ggml_backend_buffer_type);
    TMX_SLOT(ggml_backend_buffer_type, get_name, ggml_backend_buft_name(&type));
    TMX_SLOT(ggml_backend_buffer_type, alloc_buffer, ggml_backend_buft_alloc_buffer(&type, 64));
    TMX_SLOT(ggml_backend_buffer_type, get_alignment, ggml_backend_buft_get_alignment(&type));
    TMX_SLOT(ggml_backend_buffer_type, get_max_size, ggml_backend_buft_get_max_size(&type));
    TMX_SLOT(ggml_backend_buffer_type, is_host, ggml_backend_buft_is_host(&type));
    return check.difference();
}

std::string devices_differ() {
    fake<ggml_backend_device> device;
    fake<ggml_backend_buffer_type> type;
    ggml_tensor op{};
    size_t free = 0;
    size_t total = 0;
    TMX_CHECK(ggml_backend_device);
    TMX_SLOT(ggml_backend_device, get_name, ggml_backend_dev_name(&device));
    TMX_SLOT(ggml_backend_device, get_description, ggml_backend_dev_description(&device));
    TMX_SLOT(ggml_backend_device, get_memory, ggml_backend_dev_memory(&device, &free, &total));
    TMX_SLOT(ggml_backend_device, get_type, ggml_backend_dev_type(&device));
    TMX_SLOT(ggml_backend_device, init_backend, ggml_backend_dev_init(&device, nullptr));
    TMX_SLOT(ggml_backend_device, get_buffer_type, ggml_backend_dev_buffer_type(&device));
    TMX_SLOT(ggml_backend_device, get_host_buffer_type, ggml_backend_dev_host_buffer_type(&device));
    TMX_SLOT(ggml_backend_device, buffer_from_host_ptr,
             ggml_backend_dev_buffer_from_host_ptr(&device, &op, sizeof(op), sizeof(op)));
    TMX_SLOT(ggml_backend_device, supports_op, ggml_backend_dev_supports_op(&device, &op));
    TMX_SLOT(ggml_backend_device, supports_buft, ggml_backend_dev_supports_buft(&device, &type));
    TMX_SLOT(ggml_backend_device, offload_op, ggml_backend_dev_offload_op(&device, &op));
    TMX_SLOT(ggml_backend_device, event_new, ggml_backend_event_new(&device));
    fake<ggml_backend_event> event;
    event->device = &device;
    TMX_SLOT(ggml_backend_device, event_synchronize, ggml_backend_event_synchronize(&event));
    TMX_SLOT(ggml_backend_device, event_free, ggml_backend_event_free(&event));

    // ggml clears what it takes a device's properties to be: as much as they are there, no more.
    constexpr unsigned char k_mark = 0x5a;
    union {
        ggml_backend_dev_props props;
        unsigned char bytes[sizeof(ggml_backend_dev_props) + 64];
    } memory;
    std::memset(memory.bytes, k_mark, sizeof(memory.bytes));
    TMX_SLOT(ggml_backend_device, get_props, ggml_backend_dev_get_props(&device, &memory.props));
    const auto cleared = static_cast<size_t>(std::find(memory.bytes, std::end(memory.bytes), k_mark) - memory.bytes);
    if (check.difference().empty() && cleared != sizeof(ggml_backend_dev_props)) {
        return bytes_differ("a device's properties have", cleared, sizeof(ggml_backend_dev_props));
    }
    return check.difference();
}

std::string backends_differ() {
    const context_ptr context = tensors_only();
    if (context == nullptr) {
        return "it makes no tensors";
    }
    float values[8] = {};
    ggml_tensor * tensor = ggml_new_tensor_1d(context.get(), GGML_TYPE_F32, 8);
    tensor->data = values;
    fake<ggml_backend_device> device;
    fake<ggml_backend> backend;
    fake<ggml_backend_event> event;
    event->device = &device;
    ggml_cgraph graph{};
    TMX_CHECK(ggml_backend);
    TMX_SLOT(ggml_backend, get_name, ggml_backend_name(&backend));
    TMX_SLOT(ggml_backend, synchronize, ggml_backend_synchronize(&backend));
    TMX_SLOT(ggml_backend, set_tensor_async,
             ggml_backend_tensor_set_async(&backend, tensor, values, 0, sizeof(values)));
    TMX_SLOT(ggml_backend, get_tensor_async,
             ggml_backend_tensor_get_async(&backend, tensor, values, 0, sizeof(values)));
    TMX_SLOT(ggml_backend, graph_plan_create, ggml_backend_graph_plan_create(&backend, &graph));
    TMX_SLOT(ggml_backend, graph_plan_compute, ggml_backend_graph_plan_compute(&backend, nullptr));
    TMX_SLOT(ggml_backend, graph_plan_free, ggml_backend_graph_plan_free(&backend, nullptr));
    TMX_SLOT(ggml_backend, graph_compute, ggml_backend_graph_compute_async(&backend, &graph));
    TMX_SLOT(ggml_backend, event_record, ggml_backend_event_record(&event, &backend));
    TMX_SLOT(ggml_backend, event_wait, ggml_backend_event_wait(&backend, &event));
    TMX_SLOT(ggml_backend, free, ggml_backend_free(&backend));
    return check.difference();
}

std::string buffers_differ() {
    const context_ptr context = tensors_only();
    if (context == nullptr) {
        return "it makes no tensors";
    }
    fake<ggml_backend_buffer> buffer;
    float values[8] = {};
    ggml_tensor * tensor = ggml_new_tensor_1d(context.get(), GGML_TYPE_F32, 8);
    tensor->data = values;
    tensor->buffer = &buffer;
    TMX_CHECK(ggml_backend_buffer);
    TMX_SLOT(ggml_backend_buffer, clear, ggml_backend_buffer_clear(&buffer, 0));
    TMX_SLOT(ggml_backend_buffer, reset, ggml_backend_buffer_reset(&buffer));
    TMX_SLOT(ggml_backend_buffer, init_tensor, ggml_backend_buffer_init_tensor(&buffer, tensor));
    TMX_SLOT(ggml_backend_buffer, set_tensor, ggml_backend_tensor_set(tensor, values, 0, sizeof(values)));
    TMX_SLOT(ggml_backend_buffer, get_tensor, ggml_backend_tensor_get(tensor, values, 0, sizeof(values)));
    buffer->size = 4096;
    if (check.difference().empty() && ggml_backend_buffer_get_size(&buffer) != 4096) {
        return "a buffer's size lies elsewhere";
    }
    return check.difference();
}

#undef TMX_CHECK
#undef TMX_SLOT

}  // namespace

std::string layout_difference() {
    for (const auto differ : {names_differ, tensors_differ, graphs_differ, registries_differ, buffer_types_differ,
                              devices_differ, backends_differ, buffers_differ}) {
        if (std::string difference = differ(); !difference.empty()) {
            return difference;
        }
    }
    return "";
}

}  // namespace tmx
