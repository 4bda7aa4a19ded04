// Shipped plans and the models that they were made for.
#pragma once

#include <string>

#include "identity/choose_plan.h"

namespace tmx {

// The preset whose name and shape are this model's, if it was measured here; else exact, with a note that says what
// there is and how to get a plan.
parsed<chosen_plan> own_preset(const model_identity & model);

// "" unless the reference is to a preset, and the model calls itself something else: shapes alone do not tell models
// apart.
std::string other_model_note(const std::string & reference, const model_identity & model);

std::string show_model(const model_identity & model);  // its file's name without the folders

}  // namespace tmx
