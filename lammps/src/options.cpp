#include "options.h"

#include <algorithm>
#include <climits>

#include "dgnn.h"

#include "error.h"
#include "lammps.h"
#include "utils.h"

using namespace LAMMPS_NS;

namespace DGNN
{

namespace
{

typedef std::vector<std::string> Words;

struct Reader {
    LAMMPS *lmp;
    Options *out;
    std::string keyword;

    [[noreturn]] void fail(const std::string &problem) const
    {
        lmp->error->all(FLERR, "pair_style dgnn: {}: {}", keyword, problem);
    }

    double number(const std::string &word) const
    {
        return utils::numeric(FLERR, word, false, lmp);
    }

    std::vector<double> numbers(const Words &words) const
    {
        std::vector<double> values;
        for (const std::string &word : words) {
            values.push_back(number(word));
        }
        return values;
    }

    int choice(const std::string &word, const Words &names) const
    {
        auto found = std::find(names.begin(), names.end(), word);
        if (found == names.end()) {
            fail("expected " + utils::join_words(names, " or ") + ", found " + word);
        }
        return static_cast<int>(found - names.begin());
    }
};

typedef void (*Take)(const Reader &reader, const Words &words);

struct Keyword {
    const char *name;
    size_t least, most; /* values */
    Take take;
};

void take_out_freq(const Reader &r, const Words &w)
{
    r.out->out_freq = utils::bnumeric(FLERR, w[0], false, r.lmp);
    r.out->names_output = true;
    if (r.out->out_freq < 0) {
        r.fail("expected 0 (none) or a number of steps, found " + w[0]);
    }
}

void take_fparam_from_fix(const Reader &r, const Words &w)
{
    r.out->fparam_fix = w[0];
    if (w.size() > 1) {
        r.out->fparam_fix_index = utils::inumeric(FLERR, w[1], false, r.lmp);
        if (r.out->fparam_fix_index < 1) {
            r.fail("expected an index of the fix's vector, from 1, found " + w[1]);
        }
    }
}

void take_threads(const Reader &r, const Words &w)
{
    r.out->threads = utils::inumeric(FLERR, w[0], false, r.lmp);
    if (r.out->threads < 1) {
        r.fail("expected at least 1, found " + w[0]);
    }
}

void take_deadline(const Reader &r, const Words &w)
{
    r.out->deadline = r.number(w[0]);
    if (!(r.out->deadline > 0)) {
        r.fail("expected seconds, more than 0, found " + w[0]);
    }
}

void take_level(const Reader &r, const Words &w, double *level)
{
    *level = r.number(w[0]);
    r.out->names_output = true;
    if (!(*level >= 0)) {
        r.fail("expected 0 or more, found " + w[0]);
    }
}

void refuse_spin(const Reader &r, const Words &)
{
    r.fail("not taken: how far a spin moves its virtual atom is a part of the model");
}

const Keyword keywords[] = {
    {"out_file", 1, 1,
     [](const Reader &r, const Words &w) {
         r.out->out_file = w[0];
         r.out->names_output = true;
     }},
    {"out_freq", 1, 1, take_out_freq},
    {"atomic", 0, 0, [](const Reader &r, const Words &) { r.out->atomic = r.out->names_output = true; }},
    {"relative", 1, 1,
     [](const Reader &r, const Words &w) {
         r.out->relative = true;
         take_level(r, w, &r.out->level);
     }},
    {"relative_v", 1, 1,
     [](const Reader &r, const Words &w) {
         r.out->relative_v = true;
         take_level(r, w, &r.out->level_v);
     }},
    {"fparam", 1, SIZE_MAX, [](const Reader &r, const Words &w) { r.out->fparam = r.numbers(w); }},
    {"aparam", 1, SIZE_MAX, [](const Reader &r, const Words &w) { r.out->aparam = r.numbers(w); }},
    {"charge_spin", 2, 2, [](const Reader &r, const Words &w) { r.out->charge_spin = r.numbers(w); }},
    {"fparam_from_compute", 1, 1, [](const Reader &r, const Words &w) { r.out->fparam_compute = w[0]; }},
    {"fparam_from_fix", 1, 2, take_fparam_from_fix},
    {"aparam_from_compute", 1, 1, [](const Reader &r, const Words &w) { r.out->aparam_compute = w[0]; }},
    {"ttm", 1, 1, [](const Reader &r, const Words &w) { r.out->ttm = w[0]; }},
    {"head", 1, 1, [](const Reader &r, const Words &w) { r.out->head = w[0]; }},
    {"dtype", 1, 1,
     [](const Reader &r, const Words &w) {
         r.out->dtype = r.choice(w[0], {"archive", "float32", "float64"});
     }},
    {"memory", 1, 1,
     [](const Reader &r, const Words &w) { r.out->memory = r.choice(w[0], {"fast", "small"}); }},
    {"threads", 1, 1, take_threads},
    {"device", 1, 1, [](const Reader &r, const Words &w) { r.out->device = w[0]; }},
    {"deadline", 1, 1, take_deadline},
    {"virtual_len", 0, SIZE_MAX, refuse_spin},
    {"spin_norm", 0, SIZE_MAX, refuse_spin},
};

const Keyword *find(const std::string &word)
{
    for (const Keyword &keyword : keywords) {
        if (word == keyword.name) {
            return &keyword;
        }
    }
    return nullptr;
}

std::string names()
{
    std::string all;
    for (const Keyword &keyword : keywords) {
        all += keyword.take == refuse_spin ? "" : std::string(all.empty() ? "" : ", ") + keyword.name;
    }
    return all;
}

std::string values(size_t count)
{
    return fmt::format("{} value{}", count, count == 1 ? "" : "s");
}

void check_count(const Reader &r, const Keyword &keyword, const Words &words)
{
    if (words.size() >= keyword.least && words.size() <= keyword.most) {
        return;
    }
    bool more = words.size() > keyword.most;
    std::string its = keyword.most == 0 ? "it" : keyword.most == 1 ? "its value" : "its values";
    std::string found = more            ? fmt::format("'{}' after {}", words[keyword.most], its)
                        : words.empty() ? "nothing after it"
                                        : values(words.size());
    std::string expected = values(keyword.least);
    if (keyword.most > keyword.least) {
        expected = keyword.most == SIZE_MAX ? "at least " + expected
                                            : fmt::format("{} or {}", keyword.least, values(keyword.most));
    }
    r.fail(fmt::format("found {}; expected {}{}", found, expected,
                       more ? ", then one of the keywords " + names() : ""));
}

void check_together(const Reader &r)
{
    const Options &o = *r.out;
    int of_frame = !o.fparam.empty() + !o.fparam_compute.empty() + !o.fparam_fix.empty();
    int of_atoms = !o.aparam.empty() + !o.aparam_compute.empty() + !o.ttm.empty();
    if (of_frame > 1) {
        r.lmp->error->all(FLERR,
                          "pair_style dgnn: fparam, fparam_from_compute and fparam_from_fix: found {} of "
                          "them; expected one at most",
                          of_frame);
    }
    if (of_atoms > 1) {
        r.lmp->error->all(FLERR,
                          "pair_style dgnn: aparam, aparam_from_compute and ttm: found {} of them; "
                          "expected one at most",
                          of_atoms);
    }
}

} // namespace

Options read_options(LAMMPS *lmp, int narg, char **arg)
{
    Options options;
    Reader reader{lmp, &options, ""};
    int at = 0;
    for (; at < narg && !find(arg[at]); at++) {
        options.models.push_back(arg[at]);
    }
    if (options.models.empty()) {
        lmp->error->all(FLERR, "pair_style dgnn: found {}; expected a model, or several, then keywords",
                        narg ? "the keyword " + std::string(arg[0]) + " first" : "nothing");
    }
    while (at < narg) {
        const Keyword *keyword = find(arg[at++]);
        Words words;
        for (; at < narg && !find(arg[at]); at++) {
            words.push_back(arg[at]);
        }
        reader.keyword = keyword->name;
        check_count(reader, *keyword, words);
        keyword->take(reader, words);
    }
    check_together(reader);
    return options;
}

} // namespace DGNN
