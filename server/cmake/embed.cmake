# cmake -DOUT=assets.c -DFILES=a;b -P embed.cmake: write files as C arrays.
set(arrays "")
set(table "")
set(i 0)
foreach(file ${FILES})
  get_filename_component(name ${file} NAME)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
  string(APPEND arrays "static const unsigned char asset_${i}[] = {\n${bytes}0};\n")
  string(APPEND table "    {\"${name}\", asset_${i}, sizeof asset_${i} - 1},\n")
  math(EXPR i "${i} + 1")
endforeach()
file(WRITE ${OUT} "#include \"assets.h\"\n#include <string.h>\n
${arrays}
static const srv_asset assets[] = {\n${table}};

const srv_asset *srv_asset_find(const char *name)
{
    for (size_t i = 0; i < sizeof assets / sizeof *assets; i++)
        if (strcmp(assets[i].name, name) == 0)
            return &assets[i];
    return NULL;
}
")
