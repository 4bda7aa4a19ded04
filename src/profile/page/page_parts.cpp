#include "profile/page/page_parts.h"

#include <fmt/core.h>

#include "profile/page/svg.h"

namespace tmx {
namespace {

constexpr const char * k_style = R"(
body { font: 15px/1.5 system-ui, sans-serif; max-width: 860px; margin: 2em auto; padding: 0 1em; color: #1a1a1a; background: #fff; }
h1 { font-size: 1.6em; margin-bottom: 0; } h2 { font-size: 1.15em; margin-top: 2em; }
svg { width: 100%; height: auto; }
table { border-collapse: collapse; } td, th { padding: 2px 14px 2px 0; text-align: right; border-bottom: 1px solid #e3e3e3; }
td:first-child, th:first-child { text-align: left; } .key { font-size: 1.15em; } .note { color: #555; } code { font-size: .92em; overflow-wrap: anywhere; }
)";

}  // namespace

std::string page_begin(const std::string & title) {
    return "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" "
           "content=\"width=device-width\">\n<title>" +
           html_text(title) + "</title>\n<style>" + k_style + "</style></head><body>\n";
}

std::string page_end() {
    return "</body></html>\n";
}

std::string section_of_page(const std::string & heading, const std::string & note, const std::string & body) {
    return "<h2>" + html_text(heading) + "</h2>\n<p class=\"note\">" + note + "</p>\n" + body;
}

std::string cells(const std::vector<std::string> & texts, const char * tag) {
    std::string row = "<tr>";
    for (const std::string & text : texts) {
        row += fmt::format("<{0}>{1}</{0}>", tag, text);
    }
    return row + "</tr>\n";
}

std::string how_made(const report_facts & facts, const std::string & model_sha256) {
    return "<h2>How</h2>\n<p><code>" + html_text(facts.command) + "</code></p>\n<p class=\"note\">" +
           html_text(facts.date + "; " + facts.machine + "; trianglemix " + facts.version + " (" + facts.commit + ")") +
           "<br>model sha256 <code>" + model_sha256 + "</code></p>\n";
}

}  // namespace tmx
