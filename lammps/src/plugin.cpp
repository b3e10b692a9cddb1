/* Where LAMMPS finds the style: it loads every file that ends in plugin.so in the folders of
 * LAMMPS_PLUGIN_PATH, and calls lammpsplugin_init. */
#include "plugin_abi.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "lammps.h"
#include "library.h"

#include "pair_dgnn.h"

#ifndef DGNN_LAMMPS_VERSION
#error "DGNN_LAMMPS_VERSION: the version of the LAMMPS whose headers these are, as a number such as 20250722"
#endif
#ifndef DGNN_LAMMPS_UPDATE
#define DGNN_LAMMPS_UPDATE (-1) /* the update of that version, such as 4; -1: not known */
#endif

static void *make_pair(void *lmp)
{
    return static_cast<LAMMPS_NS::Pair *>(new DGNN::PairDGNN(static_cast<LAMMPS_NS::LAMMPS *>(lmp)));
}

/* The update of a stable version: 4 of "stable_22Jul2025_update4", 0 of "stable_22Jul2025"; -1 where this
 * LAMMPS does not say, as one of a source without git. Updates of a version differ in the layout of Pair, and
 * not in its number. */
static int update_of_lammps()
{
    const char *text = LAMMPS_NS::LAMMPS::git_descriptor();
    int update = 0, end = 0;
    sscanf(text, "stable_%*[0-9A-Za-z]%n_update%d%n", &end, &update, &end);
    return end > 0 && !text[end] ? update : -1;
}

static bool fits_to(void *lmp)
{
    int update = update_of_lammps();
    return lammps_version(lmp) == DGNN_LAMMPS_VERSION &&
           (update < 0 || DGNN_LAMMPS_UPDATE < 0 || update == DGNN_LAMMPS_UPDATE);
}

static std::string version_text(int version, int update)
{
    return std::to_string(version) + (update < 0 ? "" : " (update " + std::to_string(update) + ")");
}

/* Classes of LAMMPS have no stable layout, so nothing but its C interface and what is static may be touched
 * here. Said only where the style is asked for: this file is loaded with every LAMMPS of its environment. */
static void *refuse(void *lmp)
{
    std::string message = "pair_style dgnn: this plugin was built for LAMMPS " +
                          version_text(DGNN_LAMMPS_VERSION, DGNN_LAMMPS_UPDATE) + " and this LAMMPS is " +
                          version_text(lammps_version(lmp), update_of_lammps()) +
                          "; build it again (in dgnn's source: pip install --force-reinstall --no-deps "
                          "--no-build-isolation ./lammps)";
    lammps_error(lmp, LMP_ERROR_ALL | LMP_ERROR_WORLD, message.c_str());
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
    bool fits = fits_to(lmp);
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
