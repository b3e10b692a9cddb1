/* Included before a .def to make the fields of a struct; params_end.h follows. */
#define DGNN_INT(name, default_, meaning)    int64_t name;
#define DGNN_DOUBLE(name, default_, meaning) double name;
#define DGNN_BOOL(name, default_, meaning)   int32_t name;
#define DGNN_STRING(name, default_, meaning) const char *name;
#define DGNN_VALUE(name, required, meaning)  struct dgnn_value name;
#define DGNN_SAME(name, meaning)             struct dgnn_value name;
#define DGNN_IGNORED(name, meaning)
#define DGNN_ONLY(name, json, meaning)
#define DGNN_CLASS(name, lowest, highest, absent)
#define DGNN_TYPE(meaning)
#define DGNN_VARIABLE(name, meaning)
