#include "backend/host_context.h"

#include <map>
#include <mutex>

namespace tmx {
namespace {

struct context_list {
    std::mutex mutex;
    int64_t last_id = 0;
    std::map<int64_t, std::weak_ptr<host_context>> alive;
};

context_list & contexts() {
    static context_list & list = *new context_list;  // never destroyed: hosts free their backends as the process exits
    return list;
}

thread_local std::shared_ptr<host_context> begun;

std::shared_ptr<host_context> new_context() {
    context_list & list = contexts();
    int64_t id = 0;
    {
        const std::lock_guard lock(list.mutex);
        id = ++list.last_id;
    }
    auto made = std::make_shared<host_context>(id);
    const std::lock_guard lock(list.mutex);
    list.alive[id] = made;
    return made;
}

}  // namespace

host_context::host_context(int64_t number) : id(number), current(process_settings()), counters(&process_statistics()) {}

host_context::~host_context() {
    context_list & list = contexts();
    const std::lock_guard lock(list.mutex);
    list.alive.erase(id);
}

std::shared_ptr<host_context> context_of_new_backend() {
    return begun != nullptr ? begun : new_context();
}

int64_t begin_context() {
    begun = new_context();
    return begun->id;
}

int64_t begun_context() {
    return begun != nullptr ? begun->id : 0;
}

std::string end_context(int64_t id) {
    if (begun == nullptr || begun->id != id) {
        return "context " + std::to_string(id) + " is not the one that this thread has begun";
    }
    begun.reset();
    if (find_context(id) == nullptr) {
        return "context " + std::to_string(id) +
               " has no backend of TriangleMix: none was made on this thread since it was begun, or it is freed again";
    }
    return "";
}

std::shared_ptr<host_context> find_context(int64_t id) {
    context_list & list = contexts();
    const std::lock_guard lock(list.mutex);
    const auto found = list.alive.find(id);
    return found != list.alive.end() ? found->second.lock() : nullptr;
}

size_t n_contexts() {
    context_list & list = contexts();
    const std::lock_guard lock(list.mutex);
    return list.alive.size();
}

}  // namespace tmx
