#include "convert/descriptors.h"

#include "convert/compressed.h"
#include "convert/descriptor_tables.h"
#include "io/decimal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ small things */

static int descriptor_is(const struct dgnn_emit_scope *scope, const char *variable, const char *text)
{
    const char *found = dgnn_emit_variable(scope, variable);
    return found && !strcmp(found, text);
}

/* The integers of a JSON list: their sum and the last. */
static void descriptor_integers(const char *text, int64_t *sum, int64_t *last)
{
    *sum = *last = 0;
    while (text && *text) {
        long long value;
        int length = 0;
        if (sscanf(text, "%lld%n", &value, &length) == 1) {
            *last = value;
            if (__builtin_add_overflow(*sum, (int64_t)value, sum)) {
                *sum = -1;
                return;
            }
        }
        text += length ? length : 1;
    }
}

int64_t dgnn_descriptors_sum(const char *sel)
{
    int64_t sum, last;
    descriptor_integers(sel, &sum, &last);
    return sum;
}

static int descriptor_define_integer(struct dgnn_emit *emit, struct dgnn_emit_settings *s, const char *name,
                                     int64_t value)
{
    char text[32];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    return dgnn_emit_define(emit, s, name, text);
}

/* A type embedding below names, whose rows are kinds. */
static int descriptor_embed(struct dgnn_emit *emit, const struct dgnn_emit_settings *outer, const char *names,
                            const char *neuron, const char *kinds)
{
    struct dgnn_emit_settings s = {.scope = outer->scope};
    char name[DGNN_EMIT_NAME_MAX];
    struct dgnn_emit_network network = {.name = name, .type = "embedding_network"};
    int status = dgnn_emit_name(emit, &s.scope, names, name, emit->error);
    status = status ? status : dgnn_emit_define(emit, &s, "neuron", neuron);
    status = status ? status : dgnn_emit_define(emit, &s, "activation", "'Linear'");
    status = status ? status : dgnn_emit_define(emit, &s, "resnet_dt", "false");
    status =
        status ? status : dgnn_emit_define(emit, &s, "use_econf", kinds ? "false" : "?use_econf_tebd=false?");
    status =
        status ? status : dgnn_emit_define(emit, &s, "use_bias", kinds ? "false" : "?use_tebd_bias=false?");
    if (kinds) {
        status = status ? status : dgnn_emit_define(emit, &s, "ntypes", kinds);
        status = status ? status : dgnn_emit_define(emit, &s, "type_map", "null");
    }
    status = status ? status : dgnn_emit_template(emit, &s.scope, descriptor_type_embedding);
    status = status ? status : dgnn_emit_network(emit, &s.scope, &network);
    status = status ? status : dgnn_text_add(&emit->text, emit->error, "}");
    dgnn_emit_undefine(&s);
    return status;
}

static int descriptor_type_embed(struct dgnn_emit *emit, const struct dgnn_emit_settings *s,
                                 const char *neuron)
{
    DGNN_TRY(dgnn_text_add(&emit->text, emit->error, ", \"type_embedding\": "));
    return descriptor_embed(emit, s, "type_embedding.embedding.embedding_net|type_embedding.embedding_net",
                            neuron, NULL);
}

/* pt_expt notes here that a model that could be a graph is not one. */
static int descriptor_graph_disabled(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope,
                                     int32_t *graph)
{
    char name[DGNN_EMIT_NAME_MAX];
    struct dgnn_tensor tensor;
    DGNN_TRY(dgnn_emit_name(emit, scope, "graph_lower_disabled", name, emit->error));
    if (dgnn_states_find(emit->state, name)) {
        DGNN_TRY(dgnn_states_tensor(emit->state, name, &tensor, emit->error));
        *graph = *graph && tensor.dtype == '?' && dgnn_tensor_size(&tensor) == 1 &&
                 !*(const unsigned char *)tensor.data;
    }
    return DGNN_OK;
}

/* ------------------------------------------------------------------ local descriptors */

static int descriptor_emit_se_a(struct dgnn_emit *emit, struct dgnn_emit_settings *s,
                                struct dgnn_descriptors_facts *facts)
{
    int found;
    facts->mixed_types = 0;
    DGNN_TRY(dgnn_emit_define(emit, s, "neuron", "?neuron=[25, 50, 100]?"));
    DGNN_TRY(dgnn_emit_define(emit, s, "one_side", "?type_one_side=true?"));
    DGNN_TRY(dgnn_emit_define(emit, s, "ndim", descriptor_is(&s->scope, "one_side", "true") ? "1" : "2"));
    DGNN_TRY(dgnn_emit_template(emit, &s->scope, descriptor_se_a));
    DGNN_TRY(dgnn_compressed_emit(emit, &s->scope, "sea.", 0, &found));
    return dgnn_text_add(&emit->text, emit->error, "}");
}

static int descriptor_emit_se_r(struct dgnn_emit *emit, struct dgnn_emit_settings *s,
                                struct dgnn_descriptors_facts *facts)
{
    int found;
    facts->mixed_types = 0;
    DGNN_TRY(dgnn_emit_define(emit, s, "neuron", "?neuron=[25, 50, 100]?"));
    DGNN_TRY(dgnn_emit_template(emit, &s->scope, descriptor_se_r));
    DGNN_TRY(dgnn_compressed_emit(emit, &s->scope, "", 0, &found));
    return dgnn_text_add(&emit->text, emit->error, "}");
}

static int descriptor_emit_se_t(struct dgnn_emit *emit, struct dgnn_emit_settings *s,
                                struct dgnn_descriptors_facts *facts)
{
    int found;
    facts->mixed_types = 0;
    DGNN_TRY(dgnn_emit_define(emit, s, "neuron", "?neuron=[24, 48, 96]?"));
    DGNN_TRY(dgnn_emit_template(emit, &s->scope, descriptor_se_t));
    DGNN_TRY(dgnn_compressed_emit(emit, &s->scope, "seat.", 0, &found));
    return dgnn_text_add(&emit->text, emit->error, "}");
}

static int descriptor_emit_se_t_tebd(struct dgnn_emit *emit, struct dgnn_emit_settings *s,
                                     struct dgnn_descriptors_facts *facts)
{
    int found;
    (void)facts;
    DGNN_TRY(dgnn_emit_define(emit, s, "neuron", "?neuron=[2, 4, 8]?"));
    DGNN_TRY(dgnn_emit_define(emit, s, "tebd_input_mode", "?tebd_input_mode='concat'?"));
    DGNN_TRY(dgnn_emit_template(emit, &s->scope, descriptor_se_t_tebd));
    if (descriptor_is(&s->scope, "tebd_input_mode", "\"strip\"")) {
        DGNN_TRY(dgnn_emit_template(emit, &s->scope, descriptor_se_t_tebd_strip));
    }
    DGNN_TRY(dgnn_compressed_emit(emit, &s->scope, "se_ttebd.", 0, &found));
    DGNN_TRY(descriptor_type_embed(emit, s, "[?tebd_dim=8?]"));
    return dgnn_text_add(&emit->text, emit->error, "}");
}

/* ------------------------------------------------------------------ DPA4C */

/* A projection that is not there is the identity. */
static int descriptor_emit_dpa4c(struct dgnn_emit *emit, struct dgnn_emit_settings *s,
                                 struct dgnn_descriptors_facts *facts)
{
    char mark[96], name[DGNN_EMIT_NAME_MAX];
    facts->graph = 1;
    DGNN_TRY(dgnn_emit_define(emit, s, "lmax", "?lmax=2?"));
    DGNN_TRY(dgnn_emit_define(emit, s, "charge_spin", "?add_chg_spin_ebd=false?"));
    int has_spins = dgnn_emit_variable(&s->scope, "native_spin") != NULL;
    DGNN_TRY(dgnn_emit_template(emit, &s->scope, descriptor_dpa4c));
    DGNN_TRY(
        dgnn_emit_template(emit, &s->scope, has_spins ? descriptor_dpa4c_spins : descriptor_dpa4c_plain));
    DGNN_TRY(dgnn_emit_template(emit, &s->scope, descriptor_dpa4c_readout));
    int64_t most = strtol(dgnn_emit_variable(&s->scope, "lmax"), NULL, 10);
    for (int64_t l = 0; l < most && l < 8; l++) { /* more than there can be: the model is refused for it */
        snprintf(mark, sizeof(mark), "readout.probe_projections.%d.w", (int)l);
        DGNN_TRY(dgnn_emit_name(emit, &s->scope, mark, name, emit->error));
        int is_there = dgnn_states_find(emit->state, name) != NULL;
        snprintf(mark, sizeof(mark), is_there ? "%%readout.probe_projections.%d;none;false%%" : "null",
                 (int)l);
        DGNN_TRY(dgnn_text_add(&emit->text, emit->error, l ? ", " : ""));
        DGNN_TRY(dgnn_emit_template(emit, &s->scope, mark));
    }
    DGNN_TRY(dgnn_text_add(&emit->text, emit->error, "]}"));
    if (descriptor_is(&s->scope, "charge_spin", "true")) {
        DGNN_TRY(dgnn_emit_template(emit, &s->scope, descriptor_dpa4c_charge));
    }
    return dgnn_text_add(&emit->text, emit->error, "}");
}

/* ------------------------------------------------------------------ DPA1 and se_atten_v2 */

static int descriptor_emit_attention(struct dgnn_emit *emit, struct dgnn_emit_settings *s)
{
    int64_t nlayer, last;
    char prefix[DGNN_EMIT_NAME_MAX];
    DGNN_TRY(dgnn_emit_template(emit, &s->scope, descriptor_attention));
    DGNN_TRY(dgnn_emit_define(emit, s, "attn_layer", "?attn_layer=2?"));
    descriptor_integers(dgnn_emit_variable(&s->scope, "attn_layer"), &nlayer, &last);
    struct dgnn_emit_scope scope = s->scope;
    scope.prefix = prefix;
    for (int64_t k = 0; k < nlayer; k++) {
        snprintf(prefix, sizeof(prefix), "%sse_atten.dpa1_attention.attention_layers.%lld.", s->scope.prefix,
                 (long long)k);
        DGNN_TRY(dgnn_text_add(&emit->text, emit->error, k ? ", " : ""));
        DGNN_TRY(dgnn_emit_template(emit, &scope, descriptor_attention_layer));
    }
    return dgnn_text_add(&emit->text, emit->error, "]}");
}

static int descriptor_define_dpa1(struct dgnn_emit *emit, struct dgnn_emit_settings *s, int v2)
{
    int64_t nnei, embed_dim, ignored;
    DGNN_TRY(dgnn_emit_define(emit, s, "type", v2 ? "'se_atten_v2'" : "'dpa1'"));
    DGNN_TRY(dgnn_emit_define(emit, s, "neuron", "?neuron=[25, 50, 100]?"));
    DGNN_TRY(dgnn_emit_define(emit, s, "ln_eps", "?ln_eps=1e-05?"));
    if (descriptor_is(&s->scope, "ln_eps", "null")) {
        DGNN_TRY(dgnn_emit_define(emit, s, "ln_eps", "1e-05"));
    }
    DGNN_TRY(dgnn_emit_define(emit, s, "stripped", "?stripped_type_embedding=null?"));
    DGNN_TRY(dgnn_emit_define(emit, s, "mode",
                              v2 || descriptor_is(&s->scope, "stripped", "true") ? "'strip'"
                              : descriptor_is(&s->scope, "stripped", "false")
                                  ? "'concat'"
                                  : "?tebd_input_mode='concat'?"));
    DGNN_TRY(dgnn_emit_define(emit, s, "smooth", v2 ? "true" : "?smooth_type_embedding=true?"));
    descriptor_integers(dgnn_emit_variable(&s->scope, "sel"), &nnei, &ignored);
    descriptor_integers(dgnn_emit_variable(&s->scope, "neuron"), &ignored, &embed_dim);
    DGNN_TRY(descriptor_define_integer(emit, s, "nnei", nnei));
    return descriptor_define_integer(emit, s, "embed_dim", embed_dim);
}

static int descriptor_emit_dpa1_kind(struct dgnn_emit *emit, struct dgnn_emit_settings *s,
                                     struct dgnn_descriptors_facts *facts, int v2)
{
    int found;
    DGNN_TRY(descriptor_define_dpa1(emit, s, v2));
    DGNN_TRY(dgnn_emit_template(emit, &s->scope, descriptor_dpa1));
    if (!v2) {
        DGNN_TRY(dgnn_emit_template(emit, &s->scope,
                                    ", 'tebd_input_mode': $mode$, 'smooth_type_embedding': $smooth$"));
    }
    if (descriptor_is(&s->scope, "mode", "\"strip\"")) {
        DGNN_TRY(dgnn_emit_template(emit, &s->scope, descriptor_dpa1_strip));
    }
    DGNN_TRY(dgnn_compressed_emit(emit, &s->scope, "se_atten.", 1, &found));
    facts->graph = !found || (found == 2 && descriptor_is(&s->scope, "exclude", "[]"));
    DGNN_TRY(descriptor_emit_attention(emit, s));
    DGNN_TRY(descriptor_type_embed(emit, s, "[?tebd_dim=8?]"));
    DGNN_TRY(descriptor_graph_disabled(emit, &s->scope, &facts->graph));
    return dgnn_text_add(&emit->text, emit->error, "}");
}

static int descriptor_emit_dpa1(struct dgnn_emit *emit, struct dgnn_emit_settings *s,
                                struct dgnn_descriptors_facts *facts)
{
    return descriptor_emit_dpa1_kind(emit, s, facts, 0);
}

static int descriptor_emit_se_atten_v2(struct dgnn_emit *emit, struct dgnn_emit_settings *s,
                                       struct dgnn_descriptors_facts *facts)
{
    return descriptor_emit_dpa1_kind(emit, s, facts, 1);
}

/* ------------------------------------------------------------------ DPA3 */

static int descriptor_emit_dpa3_layers(struct dgnn_emit *emit, struct dgnn_emit_settings *s)
{
    int64_t nlayer, last;
    char prefix[DGNN_EMIT_NAME_MAX];
    descriptor_integers(dgnn_emit_variable(&s->scope, "nlayers"), &nlayer, &last);
    struct dgnn_emit_scope scope = s->scope;
    scope.prefix = prefix;
    int residual = descriptor_is(&s->scope, "update_style", "\"res_residual\"");
    for (int64_t k = 0; k < nlayer; k++) {
        snprintf(prefix, sizeof(prefix), "%srepflows.layers.%lld.", s->scope.prefix, (long long)k);
        DGNN_TRY(dgnn_text_add(&emit->text, emit->error, k ? ", " : ""));
        DGNN_TRY(dgnn_emit_template(emit, &scope, descriptor_dpa3_layer));
        DGNN_TRY(dgnn_emit_template(emit, &scope, residual ? descriptor_dpa3_residual : ""));
        DGNN_TRY(dgnn_text_add(&emit->text, emit->error, "}"));
    }
    return dgnn_text_add(&emit->text, emit->error, "]}");
}

static int descriptor_emit_dpa3(struct dgnn_emit *emit, struct dgnn_emit_settings *s,
                                struct dgnn_descriptors_facts *facts)
{
    (void)facts;
    DGNN_TRY(dgnn_emit_define(emit, s, "activation", "?activation_function='silu'?"));
    DGNN_TRY(dgnn_emit_define(emit, s, "n_dim", "?repflow.n_dim=128?"));
    DGNN_TRY(dgnn_emit_define(emit, s, "nlayers", "?repflow.nlayers=6?"));
    DGNN_TRY(dgnn_emit_define(emit, s, "update_style", "?repflow.update_style='res_residual'?"));
    DGNN_TRY(dgnn_emit_define(emit, s, "skip_stat", "?repflow.skip_stat=false?"));
    DGNN_TRY(dgnn_emit_define(emit, s, "fix_stat_std",
                              descriptor_is(&s->scope, "skip_stat", "true") ? "0.3"
                                                                            : "?repflow.fix_stat_std=0.3?"));
    DGNN_TRY(dgnn_emit_define(emit, s, "charge_spin", "?add_chg_spin_ebd=false?"));
    DGNN_TRY(dgnn_emit_template(emit, &s->scope, descriptor_dpa3));
    DGNN_TRY(descriptor_emit_dpa3_layers(emit, s));
    DGNN_TRY(descriptor_type_embed(emit, s, "[$n_dim$]"));
    if (descriptor_is(&s->scope, "charge_spin", "true")) {
        DGNN_TRY(dgnn_text_add(&emit->text, emit->error, ", \"chg_embedding\": "));
        DGNN_TRY(descriptor_embed(emit, s,
                                  "chg_embedding.embedding.embedding_net|chg_embedding.embedding_net",
                                  "[$n_dim$]", "200"));
        DGNN_TRY(dgnn_text_add(&emit->text, emit->error, ", \"spin_embedding\": "));
        DGNN_TRY(descriptor_embed(emit, s,
                                  "spin_embedding.embedding.embedding_net|spin_embedding.embedding_net",
                                  "[$n_dim$]", "100"));
    }
    return dgnn_text_add(&emit->text, emit->error, "}");
}

/* ------------------------------------------------------------------ DPA2 */

static int descriptor_emit_dpa2_layer(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope)
{
    int g2_attn = descriptor_is(scope, "g2_has_attn", "true"), h2 = descriptor_is(scope, "update_h2", "true");
    DGNN_TRY(dgnn_emit_template(emit, scope, descriptor_dpa2_layer));
    DGNN_TRY(dgnn_emit_template(emit, scope, g2_attn || h2 ? descriptor_dpa2_attn2g : ""));
    DGNN_TRY(dgnn_emit_template(emit, scope, g2_attn ? descriptor_dpa2_attn2_mh : ""));
    DGNN_TRY(dgnn_emit_template(emit, scope, h2 ? descriptor_dpa2_attn2_ev : ""));
    DGNN_TRY(dgnn_emit_template(emit, scope,
                                descriptor_is(scope, "g1_has_attn", "true") ? descriptor_dpa2_loc : ""));
    DGNN_TRY(dgnn_emit_template(
        emit, scope,
        descriptor_is(scope, "update_style", "\"res_residual\"") ? descriptor_dpa2_residual : ""));
    return dgnn_text_add(&emit->text, emit->error, "}");
}

/* The last layer does not update pairs. */
static int descriptor_emit_dpa2_layers(struct dgnn_emit *emit, const struct dgnn_emit_settings *outer,
                                       int64_t nlayer)
{
    char prefix[DGNN_EMIT_NAME_MAX];
    for (int64_t k = 0; k < nlayer; k++) {
        struct dgnn_emit_settings s = {.scope = outer->scope};
        int last = k == nlayer - 1;
        snprintf(prefix, sizeof(prefix), "%srepformers.layers.%lld.", outer->scope.prefix, (long long)k);
        s.scope.prefix = prefix;
        int status = dgnn_text_add(&emit->text, emit->error, k ? ", " : "");
        status = status ? status : dgnn_emit_define(emit, &s, "update_chnnl_2", last ? "false" : "true");
        status = status ? status
                        : dgnn_emit_define(emit, &s, "g2_has_g1g1",
                                           last ? "false" : "?repformer.update_g2_has_g1g1=true?");
        status = status ? status
                        : dgnn_emit_define(emit, &s, "g2_has_attn",
                                           last ? "false" : "?repformer.update_g2_has_attn=true?");
        status =
            status ? status
                   : dgnn_emit_define(emit, &s, "update_h2", last ? "false" : "?repformer.update_h2=false?");
        status = status ? status : descriptor_emit_dpa2_layer(emit, &s.scope);
        dgnn_emit_undefine(&s);
        DGNN_TRY(status);
    }
    return dgnn_text_add(&emit->text, emit->error, "]}");
}

/* repinit, or its three-body form: key is the member's name, block that of its tensors. */
static int descriptor_emit_repinit(struct dgnn_emit *emit, const struct dgnn_emit_settings *outer, int three,
                                   int *compressed)
{
    struct dgnn_emit_settings s = {.scope = outer->scope};
    char prefix[DGNN_EMIT_NAME_MAX];
    snprintf(prefix, sizeof(prefix), "%s%s.", outer->scope.prefix, three ? "repinit_three_body" : "repinit");
    s.scope.prefix = prefix;
    int status = dgnn_text_add(&emit->text, emit->error, ", \"%s\": {",
                               three ? "repinit_three_body_variable" : "repinit_variable");
    status = status ? status
                    : dgnn_emit_define(emit, &s, "rcut",
                                       three ? "?repinit.three_body_rcut=4.0?" : "?repinit.rcut?");
    status = status ? status
                    : dgnn_emit_define(emit, &s, "rcut_smth",
                                       three ? "?repinit.three_body_rcut_smth=0.5?" : "?repinit.rcut_smth?");
    status = status ? status
                    : dgnn_emit_define(emit, &s, "neuron",
                                       three ? "?repinit.three_body_neuron=[2, 4, 8]?"
                                             : "?repinit.neuron=[25, 50, 100]?");
    status =
        status ? status : dgnn_emit_define(emit, &s, "activation", "?repinit.activation_function='tanh'?");
    status = status ? status : dgnn_emit_define(emit, &s, "resnet_dt", "?repinit.resnet_dt=false?");
    status = status ? status : dgnn_emit_template(emit, &s.scope, descriptor_dpa2_repinit);
    if (!status && descriptor_is(&s.scope, "mode", "\"strip\"")) {
        status = dgnn_emit_template(emit, &s.scope, descriptor_strip);
    }
    if (!status && !three) {
        status = dgnn_compressed_emit(emit, &outer->scope, "repinit.", 1, compressed);
    }
    status = status ? status : dgnn_text_add(&emit->text, emit->error, "}");
    dgnn_emit_undefine(&s);
    return status;
}

static int descriptor_define_dpa2(struct dgnn_emit *emit, struct dgnn_emit_settings *s)
{
    static const char *const rows[][2] = {{"mode", "?repinit.tebd_input_mode='concat'?"},
                                          {"three", "?repinit.use_three_body=false?"},
                                          {"nlayers", "?repformer.nlayers=3?"},
                                          {"g1_dim", "?repformer.g1_dim=128?"},
                                          {"g2_dim", "?repformer.g2_dim=16?"},
                                          {"g1_has_attn", "?repformer.update_g1_has_attn=true?"},
                                          {"update_style", "?repformer.update_style='res_avg'?"},
                                          {"repinit_zero", "?repinit.set_davg_zero=true?"},
                                          {"repformer_zero", "?repformer.set_davg_zero=true?"},
                                          {"ln_eps", "?repformer.ln_eps=1e-05?"}};
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        DGNN_TRY(dgnn_emit_define(emit, s, rows[k][0], rows[k][1]));
    }
    return descriptor_is(&s->scope, "ln_eps", "null") ? dgnn_emit_define(emit, s, "ln_eps", "1e-05")
                                                      : DGNN_OK;
}

static int descriptor_emit_dpa2(struct dgnn_emit *emit, struct dgnn_emit_settings *s,
                                struct dgnn_descriptors_facts *facts)
{
    int64_t nlayer, last;
    int compressed = 0;
    char prefix[DGNN_EMIT_NAME_MAX];
    DGNN_TRY(descriptor_define_dpa2(emit, s));
    DGNN_TRY(dgnn_emit_template(emit, &s->scope, descriptor_dpa2));
    DGNN_TRY(dgnn_emit_name(emit, &s->scope, "g1_shape_tranform", prefix, emit->error));
    if (!dgnn_states_has(emit->state, prefix)) {
        DGNN_TRY(dgnn_emit_template(emit, &s->scope,
                                    ", 'g1_shape_tranform': {'@class': 'Identity', '@version': 1}"));
    }
    DGNN_TRY(descriptor_type_embed(emit, s, "[?repinit.tebd_dim=8?]"));
    DGNN_TRY(descriptor_emit_repinit(emit, s, 0, &compressed));
    if (descriptor_is(&s->scope, "three", "true")) {
        DGNN_TRY(descriptor_emit_repinit(emit, s, 1, &compressed));
    }
    struct dgnn_emit_scope repformers = s->scope;
    snprintf(prefix, sizeof(prefix), "%srepformers.", s->scope.prefix);
    repformers.prefix = prefix;
    DGNN_TRY(dgnn_text_add(&emit->text, emit->error, ", \"repformers_variable\": {"));
    DGNN_TRY(dgnn_emit_template(emit, &repformers, descriptor_dpa2_repformers));
    descriptor_integers(dgnn_emit_variable(&s->scope, "nlayers"), &nlayer, &last);
    DGNN_TRY(descriptor_emit_dpa2_layers(emit, s, nlayer));
    facts->graph = !compressed && descriptor_is(&s->scope, "three", "false") &&
                   descriptor_is(&s->scope, "repinit_zero", "true") &&
                   descriptor_is(&s->scope, "repformer_zero", "true");
    DGNN_TRY(descriptor_graph_disabled(emit, &s->scope, &facts->graph));
    return dgnn_text_add(&emit->text, emit->error, "}");
}

/* ------------------------------------------------------------------ hybrids, and which it is */

static int descriptor_emit_hybrid(struct dgnn_emit *emit, struct dgnn_emit_settings *s,
                                  struct dgnn_descriptors_facts *facts)
{
    struct dgnn_value list = dgnn_value_member(s->scope.params, "list");
    int64_t count;
    char prefix[DGNN_EMIT_NAME_MAX];
    facts->mixed_types = 0;
    DGNN_TRY(dgnn_value_list(&list, &count, emit->error));
    DGNN_TRY(dgnn_emit_template(emit, &s->scope,
                                "{'@class': 'Descriptor', 'type': 'hybrid', '@version': 1, 'list': ["));
    for (int64_t k = 0; k < count; k++) {
        struct dgnn_value item = dgnn_value_item(&list, k);
        struct dgnn_descriptors_facts own;
        struct dgnn_emit_scope scope = s->outer;
        if (snprintf(prefix, sizeof(prefix), "%sdescrpt_list.%lld.", s->scope.prefix, (long long)k) > 400) {
            return dgnn_status_set(emit->error, DGNN_ERROR_FORMAT, "hybrids nested too deeply");
        }
        scope.prefix = prefix;
        scope.params = &item;
        DGNN_TRY(dgnn_text_add(&emit->text, emit->error, k ? ", " : ""));
        DGNN_TRY(dgnn_descriptors_emit(emit, &scope, &own));
        facts->mixed_types |= own.mixed_types;
        facts->rcut = own.rcut > facts->rcut ? own.rcut : facts->rcut;
        facts->sel = own.sel > facts->sel ? own.sel : facts->sel;
    }
    return dgnn_text_add(&emit->text, emit->error, "]}");
}

static const struct {
    const char *type;
    int (*emit)(struct dgnn_emit *emit, struct dgnn_emit_settings *settings,
                struct dgnn_descriptors_facts *facts);
    const char *rcut, *sel; /* templates of what reaches furthest; NULL: "rcut" and "sel" of its settings */
} descriptor_families[] = {{"dpa3", descriptor_emit_dpa3, "?repflow.e_rcut=6.0?", "?repflow.e_sel=120?"},
                           {"dpa4c", descriptor_emit_dpa4c, NULL, NULL},
                           {"DPA4C", descriptor_emit_dpa4c, NULL, NULL},
                           {"dpa2", descriptor_emit_dpa2, "?repinit.rcut?", "?repinit.nsel?"},
                           {"dpa1", descriptor_emit_dpa1, NULL, NULL},
                           {"se_atten", descriptor_emit_dpa1, NULL, NULL},
                           {"se_atten_v2", descriptor_emit_se_atten_v2, NULL, NULL},
                           {"se_e2_a", descriptor_emit_se_a, NULL, NULL},
                           {"se_a", descriptor_emit_se_a, NULL, NULL},
                           {"se_e2_r", descriptor_emit_se_r, NULL, NULL},
                           {"se_r", descriptor_emit_se_r, NULL, NULL},
                           {"se_e3", descriptor_emit_se_t, NULL, NULL},
                           {"se_at", descriptor_emit_se_t, NULL, NULL},
                           {"se_a_3be", descriptor_emit_se_t, NULL, NULL},
                           {"se_t", descriptor_emit_se_t, NULL, NULL},
                           {"se_e3_tebd", descriptor_emit_se_t_tebd, NULL, NULL},
                           {"hybrid", descriptor_emit_hybrid, "0", "0"}}; /* its parts' */

/* What most families share; a spin model has set exclude, protection and sel before. */
static int descriptor_define(struct dgnn_emit *emit, struct dgnn_emit_settings *s)
{
    DGNN_TRY(dgnn_emit_define(emit, s, "precision", "?precision='float64'?"));
    DGNN_TRY(dgnn_emit_define(emit, s, "precision",
                              dgnn_emit_precision(dgnn_emit_variable(&s->scope, "precision"))));
    DGNN_TRY(dgnn_emit_define(emit, s, "activation", "?activation_function='tanh'?"));
    DGNN_TRY(dgnn_emit_define(emit, s, "resnet_dt", "?resnet_dt=false?"));
    if (!dgnn_emit_variable(&s->scope, "exclude")) {
        DGNN_TRY(dgnn_emit_define(emit, s, "exclude", "?exclude_types=[]?"));
    }
    if (!dgnn_emit_variable(&s->scope, "protection")) {
        DGNN_TRY(dgnn_emit_define(emit, s, "protection", "?env_protection=0.0?"));
    }
    if (!dgnn_emit_variable(&s->scope, "sel")) {
        DGNN_TRY(dgnn_emit_define(emit, s, "sel", "?sel=null?"));
    }
    const char *sel = dgnn_emit_variable(&s->scope, "sel");
    return sel[0] == '[' || sel[0] == 'n' ? DGNN_OK : dgnn_emit_define(emit, s, "sel", "[$sel$]");
}

/* The cutoff and the most neighbours: a number, or the sum of a list. */
static int descriptor_reach(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope, const char *rcut,
                            const char *sel, struct dgnn_descriptors_facts *facts)
{
    struct dgnn_emit_settings s = {.scope = *scope};
    int status = dgnn_emit_define(emit, &s, "rcut", rcut ? rcut : "?rcut=0?");
    status = status ? status : dgnn_emit_define(emit, &s, "sel", sel ? sel : "?sel=0?");
    if (!status) {
        const char *number = dgnn_emit_variable(&s.scope, "rcut");
        int64_t most = dgnn_descriptors_sum(dgnn_emit_variable(&s.scope, "sel"));
        struct dgnn_decimal widest = {0};
        if (!dgnn_decimal_parse(number, number + strlen(number), &widest) && widest.value > facts->rcut) {
            facts->rcut = widest.value;
        }
        facts->sel = most > facts->sel ? most : facts->sel;
    }
    dgnn_emit_undefine(&s);
    return status;
}

int dgnn_descriptors_emit(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope,
                          struct dgnn_descriptors_facts *facts)
{
    struct dgnn_value type = dgnn_value_member(scope->params, "type");
    const char *name;
    char path[512];
    *facts = (struct dgnn_descriptors_facts){.mixed_types = 1};
    DGNN_TRY(dgnn_value_string(&type, &name, emit->error));
    for (size_t k = 0; k < sizeof(descriptor_families) / sizeof(descriptor_families[0]); k++) {
        if (!strcmp(descriptor_families[k].type, name)) {
            struct dgnn_emit_settings settings = {.scope = *scope, .outer = *scope};
            int status = descriptor_define(emit, &settings);
            status = status ? status : descriptor_families[k].emit(emit, &settings, facts);
            dgnn_emit_undefine(&settings);
            return status ? status
                          : descriptor_reach(emit, scope, descriptor_families[k].rcut,
                                             descriptor_families[k].sel, facts);
        }
    }
    return dgnn_status_set(
        emit->error, DGNN_ERROR_UNSUPPORTED,
        "%s: '%s' is not supported; supported: dpa3, dpa4c, dpa2, dpa1 (se_atten), se_atten_v2, se_e2_a, "
        "se_e2_r, se_e3, se_e3_tebd, hybrid",
        dgnn_value_path(&type, path, sizeof(path)), name);
}
