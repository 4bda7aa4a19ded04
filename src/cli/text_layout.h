// cli/text_layout.h -- text in a given number of columns: words, tables, help, amounts. A code point is a column.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace tmx {

size_t columns(const std::string & text);
std::string cut(const std::string & text, size_t columns);          // at most so many columns, whole characters
std::string wrap(const std::string & text, int width, int indent);  // by words; every line but the first indented
std::string show_seconds(double seconds);                           // "43.1 s", "1 min 12 s"
std::string show_count(double n);                                   // "812", "28.3 M", "1.75 G"
std::string show_bytes(size_t n);                                   // "812 bytes", "34.3 KB"
std::string show_file(const std::string & path);                    // its name without the folders

// --help as the option parser wrote it, for a screen of that width. Descriptions wrap in their column, and paragraphs
// that were broken for a wider screen are filled anew.
std::string fit_help(const std::string & text, int width);

// Text that arrives in pieces, broken between words at `width` columns: each word comes out when it is whole.
class word_stream {
  public:
    explicit word_stream(int width) : width_(static_cast<size_t>(width)) {}
    std::string add(const std::string & piece);  // what can be shown now
    std::string end();                           // what was still held back

  private:
    size_t width_;
    size_t column_ = 0;
    std::string blanks_;
    std::string word_;

    std::string take_word();
};

// Left-aligned first column, right-aligned others; columns as wide as their widest cell. Where that is too wide, first
// the gaps shrink, then cells take several lines (figures stay whole), and at last every row becomes a list.
class text_table {
  public:
    explicit text_table(std::vector<std::string> header);
    void add(std::vector<std::string> row);  // REQUIRES as many cells as the header
    std::string print(int max_width) const;  // lines with newlines

  private:
    std::vector<std::vector<std::string>> rows_;

    std::string breakable(size_t row, size_t column) const;
    std::vector<size_t> narrowest() const;
    std::string print_columns(const std::vector<size_t> & width, size_t gap) const;
    std::string print_list(size_t max_width) const;
};

}  // namespace tmx
