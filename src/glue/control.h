// The proc addresses of trianglemix/backend_control.h.
#pragma once

namespace tmx {

// Address of a function by name, null if there is none.
void * control_address(const char * name);

}  // namespace tmx
