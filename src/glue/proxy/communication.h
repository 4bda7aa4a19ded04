// What llama.cpp's tensor split asks a registry for, so that the devices' own all-reduce (NCCL, for instance) adds up
// what each computed: passed on to the registry of the devices behind the proxies. On the way the proxies learn that
// they belong together (tensor_split.h).
#pragma once

namespace tmx {

// A function of that name for ggml_backend_reg_get_proc_address(), or null: ggml_backend_comm_init, _free and
// _allreduce_tensor.
void * communication_address(const char * name) noexcept;

}  // namespace tmx
