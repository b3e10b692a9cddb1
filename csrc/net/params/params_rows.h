/* Included before a .def, with DGNN_PARAM_STRUCT defined, to make the rows of a table; params_end.h follows.
 */
#define DGNN_INT(name, default_, meaning)                                                                    \
    {#name, DGNN_PARAM_INT, offsetof(DGNN_PARAM_STRUCT, name), (double)(default_), NULL, 0, meaning},
#define DGNN_DOUBLE(name, default_, meaning)                                                                 \
    {#name, DGNN_PARAM_DOUBLE, offsetof(DGNN_PARAM_STRUCT, name), (double)(default_), NULL, 0, meaning},
#define DGNN_BOOL(name, default_, meaning)                                                                   \
    {#name, DGNN_PARAM_BOOL, offsetof(DGNN_PARAM_STRUCT, name), (double)(default_), NULL, 0, meaning},
#define DGNN_STRING(name, default_, meaning)                                                                 \
    {#name, DGNN_PARAM_STRING, offsetof(DGNN_PARAM_STRUCT, name), 0, default_, 0, meaning},
#define DGNN_VALUE(name, required, meaning)                                                                  \
    {#name, DGNN_PARAM_VALUE, offsetof(DGNN_PARAM_STRUCT, name), 0, NULL, required, meaning},
#define DGNN_SAME(name, meaning)                                                                             \
    {#name, DGNN_PARAM_SAME, offsetof(DGNN_PARAM_STRUCT, name), 0, NULL, 0, meaning},
#define DGNN_IGNORED(name, meaning)    {#name, DGNN_PARAM_IGNORED, 0, 0, NULL, 0, meaning},
#define DGNN_ONLY(name, json, meaning) {#name, DGNN_PARAM_ONLY, 0, 0, json, 0, meaning},
#define DGNN_CLASS(name, lowest, highest, absent)                                                            \
    {#name, DGNN_PARAM_CLASS, highest, lowest, NULL, absent, "deepmd-kit's class"},
#define DGNN_TYPE(meaning)           {"type", DGNN_PARAM_IGNORED, 0, 0, NULL, 0, meaning},
#define DGNN_VARIABLE(name, meaning) {#name, DGNN_PARAM_VARIABLE, 0, 0, NULL, 0, meaning},
