/* Where LAMMPS finds the style: it loads every file that ends in plugin.so in the folders of
 * LAMMPS_PLUGIN_PATH, and calls lammpsplugin_init. */
#include "plugin_abi.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "lammps.h"
#include "library.h"

#include "pair_dgnn.h"

#ifndef DGNN_LAMMPS_VERSION
#error "DGNN_LAMMPS_VERSION: the version of the LAMMPS whose headers these are, as a number such as 20250722"
#endif

static void *make_pair(void *lmp)
{
    return static_cast<LAMMPS_NS::Pair *>(new DGNN::PairDGNN(static_cast<LAMMPS_NS::LAMMPS *>(lmp)));
}

/* Classes of LAMMPS have no stable layout, so nothing but its C interface may be touched here. Said only
 * where the style is asked for: this file is loaded with every LAMMPS of its environment. */
static void *refuse(void *lmp)
{
    char message[256];
    snprintf(message, sizeof(message),
             "pair_style dgnn: this plugin was built for LAMMPS %d and this LAMMPS is %d; build it again "
             "(in dgnn's source: pip install --force-reinstall --no-deps --no-build-isolation ./lammps)",
             DGNN_LAMMPS_VERSION, lammps_version(lmp));
    lammps_error(lmp, LMP_ERROR_ALL | LMP_ERROR_WORLD, message);
    abort(); /* lammps_error does not return */
}

/* Scripts that were written for deepmd-kit run unchanged where the environment says so. */
static bool wants_aliases()
{
    const char *value = getenv("DGNN_LAMMPS_ALIAS");
    return value && *value && strcmp(value, "0") != 0;
}

void lammpsplugin_init(void *lmp, void *handle, void *regfunc)
{
    bool fits = lammps_version(lmp) == DGNN_LAMMPS_VERSION;
    auto add = reinterpret_cast<lammpsplugin_regfunc>(regfunc);
    lammpsplugin_t plugin;
    memset(&plugin, 0, sizeof(plugin));
    /* LAMMPS compares this with its own and warns; refuse says it better, where it matters. */
    plugin.version = fits ? static_cast<LAMMPS_NS::LAMMPS *>(lmp)->version : "";
    plugin.style = "pair";
    plugin.info = "deepmd-kit's potentials, evaluated by dgnn " DGNN_VERSION;
    plugin.author = "the authors of dgnn";
    plugin.creator.v1 = fits ? make_pair : refuse;
    plugin.handle = handle;
    static const char *const names[] = {"dgnn", "deepmd", "deepspin"};
    for (size_t k = 0; k < (wants_aliases() ? 3 : 1); k++) {
        plugin.name = names[k];
        add(&plugin, lmp);
    }
}
