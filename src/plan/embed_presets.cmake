# cmake -DFOLDER=plans -DOUTPUT=preset_texts.cpp -P embed_presets.cmake
# Writes a C++ file with the text of every FOLDER/*.json, sorted by name.
file(GLOB files ${FOLDER}/*.json)
list(SORT files)
set(entries "")
foreach(file IN LISTS files)
    get_filename_component(name ${file} NAME_WLE)
    file(READ ${file} text)
    string(APPEND entries "    {\"${name}\", R\"preset(${text})preset\"},\n")
endforeach()
file(WRITE ${OUTPUT} "#include \"plan/preset_texts.h\"

namespace tmx {

const std::vector<plan_preset> & preset_texts() {
    static const std::vector<plan_preset> texts = {
${entries}    };
    return texts;
}

}  // namespace tmx
")
