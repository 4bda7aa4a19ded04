// A model whose weights are set by hand, so that what each layer does is known: asked for a key, it says the token that
// stood behind it. For tests of how prompts are computed and answered, end to end.
#pragma once

#include <cstdint>
#include <vector>

#include "reference_model.h"

namespace tmx::test {

// Tokens that mean something; 30 to 49 mean nothing.
constexpr int32_t k_key = 10;    // the token behind it is the value, 20 to 29
constexpr int32_t k_ask = 11;    // the row that looks for the value, anywhere before it
constexpr int32_t k_query = 12;  // the last token; its row looks for k_ask and answers with what that row found

// Layer 0: every row learns which token stood before it. Layer 1: the row of k_ask copies the token that stood behind
// k_key. Layer 2: the row of k_query takes what k_ask's row found. So the long way inside the prompt is layer 1's.
tiny_model make_copying_model();

// `n` tokens: the key and its value at `key_at`, k_ask at `ask_at`, k_query at the end.
std::vector<int32_t> copying_prompt(int n, int key_at, int ask_at, int32_t value);

}  // namespace tmx::test
