// cli/terminal.h -- the screen: its width and messages. What is written to a terminal is broken between words; what
// goes elsewhere keeps its lines.
#pragma once

#include <string>

#include "cli/text_layout.h"

namespace tmx {

int terminal_width(int file_descriptor);  // columns; 80 if it is not a terminal
int line_width(int file_descriptor);      // the same, but as good as endless if it is not a terminal

// One message on stderr, its further lines indented.
void tell(const std::string & text, int indent = 2);

// A line of stderr that is drawn over and over, cut to the terminal's width. REQUIRES stderr is a terminal.
void show_live(const std::string & text);
void clear_live();

}  // namespace tmx
