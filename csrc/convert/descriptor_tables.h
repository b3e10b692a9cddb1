/* The families' tables: what deepmd-kit 3.2.0's serialize() gives, with marks (convert/emit.h) for settings
 * and tensors. A default is that of its constructors; a checkpoint's settings have been through its checks,
 * which fill in most. */
#define ENV_MAT(rcut, rcut_smth, protection)                                                                 \
    "{'rcut': " rcut ", 'rcut_smth': " rcut_smth ", 'protection': " protection ", 'use_exp_switch': false}"
/* Of a network of one layer; the variables dim, ntypes, type_map and those of dgnn_emit_network are its
 * own. */
static const char descriptor_type_embedding[] =
    "{'@class': 'TypeEmbedNet', '@version': 2, 'ntypes': $ntypes$, 'neuron': $neuron$, 'resnet_dt': false, "
    "'precision': $precision$, 'activation_function': 'Linear', 'trainable': true, 'padding': true, "
    "'use_econf_tebd': $use_econf$, 'use_tebd_bias': $use_bias$, 'type_map': $type_map$, 'embedding': ";

static const char descriptor_se_a[] =
    "{'@class': 'Descriptor', 'type': 'se_e2_a', '@version': 2, 'rcut': ?rcut?, 'rcut_smth': ?rcut_smth?, "
    "'sel': $sel$, 'neuron': ?neuron=[25, 50, 100]?, 'axis_neuron': ?axis_neuron=16?, "
    "'resnet_dt': ?resnet_dt=false?, 'set_davg_zero': ?set_davg_zero=false?, "
    "'activation_function': ?activation_function='tanh'?, 'precision': $precision$, "
    "'embeddings': #sea.filter_layers.networks|embeddings._module_networks|"
    "embeddings._networks;embedding_network;"
    "$ndim#, 'env_mat': " ENV_MAT("?rcut?", "?rcut_smth?", "$protection$") ", "
    "'exclude_types': $exclude$, 'env_protection': $protection$, "
    "'@variables': {'davg': ^sea.mean|davg^, 'dstd': ^sea.stddev|dstd^}, 'type_map': $type_map$, "
    "'trainable': true, 'type_one_side': $one_side$, 'spin': null";

static const char descriptor_se_r[] =
    "{'@class': 'Descriptor', 'type': 'se_r', '@version': 2, 'rcut': ?rcut?, 'rcut_smth': ?rcut_smth?, "
    "'sel': $sel$, 'neuron': ?neuron=[25, 50, 100]?, 'resnet_dt': ?resnet_dt=false?, "
    "'set_davg_zero': ?set_davg_zero=false?, 'activation_function': ?activation_function='tanh'?, "
    "'precision': $precision$, 'embeddings': "
    "#filter_layers.networks|embeddings._module_networks|embeddings._networks;embedding_network;1#, "
    "'env_mat': " ENV_MAT("?rcut?", "?rcut_smth?", "0.0") ", "
    "'exclude_types': $exclude$, 'env_protection': $protection$, "
    "'@variables': {'davg': ^mean|davg^, 'dstd': ^stddev|dstd^}, 'type_map': $type_map$, 'trainable': true, "
    "'type_one_side': true, 'spin': null";

static const char descriptor_se_t[] =
    "{'@class': 'Descriptor', 'type': 'se_e3', '@version': 2, 'rcut': ?rcut?, 'rcut_smth': ?rcut_smth?, "
    "'sel': $sel$, 'neuron': ?neuron=[24, 48, 96]?, 'resnet_dt': ?resnet_dt=false?, "
    "'set_davg_zero': ?set_davg_zero=false?, 'activation_function': ?activation_function='tanh'?, "
    "'precision': $precision$, 'embeddings': "
    "#seat.filter_layers.networks|embeddings._module_networks|embeddings._networks;embedding_network;2#, "
    "'env_mat': " ENV_MAT("?rcut?", "?rcut_smth?", "$protection$") ", "
    "'exclude_types': $exclude$, 'env_protection': $protection$, 'type_map': $type_map$, "
    "'@variables': {'davg': ^seat.mean|davg^, 'dstd': ^seat.stddev|dstd^}, 'trainable': true";

static const char descriptor_se_t_tebd[] =
    "{'@class': 'Descriptor', 'type': 'se_e3_tebd', '@version': 1, 'rcut': ?rcut?, 'rcut_smth': ?rcut_smth?, "
    "'sel': $sel$, 'ntypes': $ntypes$, 'neuron': ?neuron=[2, 4, 8]?, 'tebd_dim': ?tebd_dim=8?, "
    "'tebd_input_mode': $tebd_input_mode$, 'set_davg_zero': ?set_davg_zero=true?, "
    "'activation_function': ?activation_function='tanh'?, 'resnet_dt': ?resnet_dt=false?, "
    "'concat_output_tebd': ?concat_output_tebd=true?, 'use_econf_tebd': ?use_econf_tebd=false?, "
    "'type_map': $type_map$, 'precision': $precision$, "
    "'embeddings': #se_ttebd.filter_layers.networks|se_ttebd.embeddings._module_networks|"
    "se_ttebd.embeddings._networks;embedding_network;0#, "
    "'env_mat': " ENV_MAT("?rcut?", "?rcut_smth?", "0.0") ", "
    "'exclude_types': $exclude$, 'env_protection': $protection$, 'smooth': ?smooth=true?, "
    "'@variables': {'davg': ^se_ttebd.mean^, 'dstd': ^se_ttebd.stddev^}, 'trainable': true";

static const char descriptor_dpa1[] =
    "{'@class': 'Descriptor', 'type': $type$, '@version': 2, 'rcut': ?rcut?, 'rcut_smth': ?rcut_smth?, "
    "'sel': $sel$, 'ntypes': $ntypes$, 'neuron': ?neuron=[25, 50, 100]?, 'axis_neuron': ?axis_neuron=16?, "
    "'tebd_dim': ?tebd_dim=8?, 'set_davg_zero': ?set_davg_zero=true?, 'attn': ?attn=128?, "
    "'attn_layer': ?attn_layer=2?, 'attn_dotr': ?attn_dotr=true?, 'attn_mask': ?attn_mask=false?, "
    "'activation_function': ?activation_function='tanh'?, 'resnet_dt': ?resnet_dt=false?, "
    "'scaling_factor': ?scaling_factor=1.0?, 'normalize': ?normalize=true?, "
    "'temperature': ?temperature=null?, "
    "'trainable_ln': ?trainable_ln=true?, 'ln_eps': $ln_eps$, 'type_one_side': ?type_one_side=false?, "
    "'concat_output_tebd': ?concat_output_tebd=true?, 'use_econf_tebd': ?use_econf_tebd=false?, "
    "'use_tebd_bias': ?use_tebd_bias=false?, 'type_map': $type_map$, 'precision': $precision$, "
    "'embeddings': #se_atten.filter_layers.networks|se_atten.embeddings._module_networks|"
    "se_atten.embeddings._networks;embedding_network;0#, "
    "'env_mat': " ENV_MAT("?rcut?", "?rcut_smth?", "$protection$") ", "
    "'exclude_types': $exclude$, 'env_protection': $protection$, "
    "'@variables': {'davg': ^se_atten.mean^, 'dstd': ^se_atten.stddev^}, 'trainable': true, 'spin': null";

static const char descriptor_attention[] =
    ", 'attention_layers': {'@class': 'NeighborGatedAttention', '@version': 1, 'layer_num': ?attn_layer=2?, "
    "'nnei': $nnei$, 'embed_dim': $embed_dim$, 'hidden_dim': ?attn=128?, 'dotr': ?attn_dotr=true?, "
    "'do_mask': ?attn_mask=false?, 'scaling_factor': ?scaling_factor=1.0?, 'normalize': ?normalize=true?, "
    "'temperature': ?temperature=null?, 'trainable_ln': ?trainable_ln=true?, 'ln_eps': $ln_eps$, "
    "'precision': $precision$, 'attention_layers': [";

/* names are below se_atten.dpa1_attention.attention_layers.K. */
static const char descriptor_attention_layer[] =
    "{'nnei': $nnei$, 'embed_dim': $embed_dim$, 'hidden_dim': ?attn=128?, 'dotr': ?attn_dotr=true?, "
    "'do_mask': ?attn_mask=false?, 'scaling_factor': ?scaling_factor=1.0?, 'normalize': ?normalize=true?, "
    "'temperature': ?temperature=null?, 'trainable_ln': ?trainable_ln=true?, 'ln_eps': $ln_eps$, "
    "'precision': $precision$, 'attention_layer': {'nnei': $nnei$, 'embed_dim': $embed_dim$, "
    "'hidden_dim': ?attn=128?, 'num_heads': 1, 'dotr': ?attn_dotr=true?, 'do_mask': ?attn_mask=false?, "
    "'scaling_factor': ?scaling_factor=1.0?, 'normalize': ?normalize=true?, "
    "'temperature': ?temperature=null?, "
    "'bias': true, 'smooth': $smooth$, 'precision': $precision$, "
    "'in_proj': %attention_layer.in_proj;none;false%, 'out_proj': %attention_layer.out_proj;none;false%}, "
    "'attn_layer_norm': {'@class': 'LayerNorm', '@version': 1, 'eps': $ln_eps$, 'trainable': true, "
    "'precision': $precision$, '@variables': {'w': ^attn_layer_norm.matrix|attn_layer_norm.w^, "
    "'b': ^attn_layer_norm.bias|attn_layer_norm.b^}}}";

static const char descriptor_dpa3[] =
    "{'@class': 'Descriptor', 'type': 'dpa3', '@version': 2, 'ntypes': $ntypes$, 'repflow_args': {"
    "'n_dim': $n_dim$, 'e_dim': ?repflow.e_dim=64?, 'a_dim': ?repflow.a_dim=64?, 'nlayers': $nlayers$, "
    "'e_rcut': ?repflow.e_rcut=6.0?, 'e_rcut_smth': ?repflow.e_rcut_smth=5.0?, 'e_sel': ?repflow.e_sel=120?, "
    "'a_rcut': ?repflow.a_rcut=4.0?, 'a_rcut_smth': ?repflow.a_rcut_smth=3.5?, 'a_sel': ?repflow.a_sel=20?, "
    "'a_compress_rate': ?repflow.a_compress_rate=0?, 'a_compress_e_rate': ?repflow.a_compress_e_rate=1?, "
    "'a_compress_use_split': ?repflow.a_compress_use_split=false?, "
    "'n_multi_edge_message': ?repflow.n_multi_edge_message=1?, 'axis_neuron': ?repflow.axis_neuron=4?, "
    "'update_angle': ?repflow.update_angle=true?, 'update_style': ?repflow.update_style='res_residual'?, "
    "'update_residual': ?repflow.update_residual=0.1?, "
    "'update_residual_init': ?repflow.update_residual_init='const'?, 'fix_stat_std': $fix_stat_std$, "
    "'optim_update': ?repflow.optim_update=true?, 'smooth_edge_update': ?repflow.smooth_edge_update=false?, "
    "'edge_init_use_dist': ?repflow.edge_init_use_dist=false?, "
    "'use_exp_switch': ?repflow.use_exp_switch=false?, "
    "'use_dynamic_sel': ?repflow.use_dynamic_sel=false?, "
    "'sel_reduce_factor': ?repflow.sel_reduce_factor=10.0?, "
    "'sequential_update': ?repflow.sequential_update=false?}, "
    "'concat_output_tebd': ?concat_output_tebd=false?, 'activation_function': $activation$, "
    "'precision': $precision$, 'exclude_types': $exclude$, 'env_protection': $protection$, "
    "'trainable': true, "
    "'use_econf_tebd': ?use_econf_tebd=false?, 'use_tebd_bias': ?use_tebd_bias=false?, "
    "'use_loc_mapping': ?use_loc_mapping=true?, 'add_chg_spin_ebd': ?add_chg_spin_ebd=false?, "
    "'default_chg_spin': ?default_chg_spin=null?, 'type_map': $type_map$"
    "~mix_cs_mlp=mix_cs_mlp;none;false~, 'repflow_variable': {'edge_embd': %repflows.edge_embd;none;false%, "
    "'angle_embd': %repflows.angle_embd;none;false%, 'env_mat': "
    ENV_MAT("?repflow.e_rcut=6.0?", "?repflow.e_rcut_smth=5.0?", "0.0") ", "
    "'@variables': {'davg': ^repflows.mean^, 'dstd': ^repflows.stddev^}, 'repflow_layers': [";

/* names are below repflows.layers.K. */
static const char descriptor_dpa3_layer[] =
    "{'@class': 'RepFlowLayer', '@version': 2, 'e_rcut': ?repflow.e_rcut=6.0?, "
    "'e_rcut_smth': ?repflow.e_rcut_smth=5.0?, 'e_sel': [?repflow.e_sel=120?], "
    "'a_rcut': ?repflow.a_rcut=4.0?, "
    "'a_rcut_smth': ?repflow.a_rcut_smth=3.5?, 'a_sel': ?repflow.a_sel=20?, 'ntypes': $ntypes$, "
    "'n_dim': $n_dim$, "
    "'e_dim': ?repflow.e_dim=64?, 'a_dim': ?repflow.a_dim=64?, "
    "'a_compress_rate': ?repflow.a_compress_rate=0?, "
    "'a_compress_e_rate': ?repflow.a_compress_e_rate=1?, "
    "'a_compress_use_split': ?repflow.a_compress_use_split=false?, "
    "'n_multi_edge_message': ?repflow.n_multi_edge_message=1?, 'axis_neuron': ?repflow.axis_neuron=4?, "
    "'activation_function': $activation$, 'update_angle': ?repflow.update_angle=true?, "
    "'update_style': ?repflow.update_style='res_residual'?, "
    "'update_residual': ?repflow.update_residual=0.1?, "
    "'update_residual_init': ?repflow.update_residual_init='const'?, 'precision': $precision$, "
    "'optim_update': ?repflow.optim_update=true?, 'smooth_edge_update': ?repflow.smooth_edge_update=false?, "
    "'use_dynamic_sel': ?repflow.use_dynamic_sel=false?, "
    "'sel_reduce_factor': ?repflow.sel_reduce_factor=10.0?, "
    "'sequential_update': ?repflow.sequential_update=false?, 'node_self_mlp': %node_self_mlp;none;false%, "
    "'node_sym_linear': %node_sym_linear;none;false%, 'node_edge_linear': %node_edge_linear;none;false%, "
    "'edge_self_linear': %edge_self_linear;none;false%~edge_angle_linear1=edge_angle_linear1;none;false~"
    "~edge_angle_linear2=edge_angle_linear2;none;false~~angle_self_linear=angle_self_linear;none;false~"
    "~a_compress_n_linear=a_compress_n_linear;none;false~"
    "~a_compress_e_linear=a_compress_e_linear;none;false~";

static const char descriptor_dpa3_residual[] =
    ", '@variables': {'n_residual': [*n_residual*], 'e_residual': [*e_residual*], "
    "'a_residual': [*a_residual*]}";

static const char descriptor_dpa2[] =
    "{'@class': 'Descriptor', 'type': 'dpa2', '@version': 3, 'ntypes': $ntypes$, 'repinit_args': {"
    "'rcut': ?repinit.rcut?, 'rcut_smth': ?repinit.rcut_smth?, 'nsel': ?repinit.nsel?, "
    "'neuron': ?repinit.neuron=[25, 50, 100]?, 'axis_neuron': ?repinit.axis_neuron=16?, "
    "'tebd_dim': ?repinit.tebd_dim=8?, 'tebd_input_mode': ?repinit.tebd_input_mode='concat'?, "
    "'set_davg_zero': ?repinit.set_davg_zero=true?, "
    "'activation_function': ?repinit.activation_function='tanh'?, 'resnet_dt': ?repinit.resnet_dt=false?, "
    "'type_one_side': ?repinit.type_one_side=false?, 'use_three_body': ?repinit.use_three_body=false?, "
    "'three_body_neuron': ?repinit.three_body_neuron=[2, 4, 8]?, "
    "'three_body_sel': ?repinit.three_body_sel=40?, 'three_body_rcut': ?repinit.three_body_rcut=4.0?, "
    "'three_body_rcut_smth': ?repinit.three_body_rcut_smth=0.5?}, 'repformer_args': {"
    "'rcut': ?repformer.rcut?, 'rcut_smth': ?repformer.rcut_smth?, 'nsel': ?repformer.nsel?, "
    "'nlayers': $nlayers$, 'g1_dim': $g1_dim$, 'g2_dim': $g2_dim$, "
    "'axis_neuron': ?repformer.axis_neuron=4?, 'direct_dist': ?repformer.direct_dist=false?, "
    "'update_g1_has_conv': ?repformer.update_g1_has_conv=true?, "
    "'update_g1_has_drrd': ?repformer.update_g1_has_drrd=true?, "
    "'update_g1_has_grrg': ?repformer.update_g1_has_grrg=true?, "
    "'update_g1_has_attn': ?repformer.update_g1_has_attn=true?, "
    "'update_g2_has_g1g1': ?repformer.update_g2_has_g1g1=true?, "
    "'update_g2_has_attn': ?repformer.update_g2_has_attn=true?, 'update_h2': ?repformer.update_h2=false?, "
    "'attn1_hidden': ?repformer.attn1_hidden=64?, 'attn1_nhead': ?repformer.attn1_nhead=4?, "
    "'attn2_hidden': ?repformer.attn2_hidden=16?, 'attn2_nhead': ?repformer.attn2_nhead=4?, "
    "'attn2_has_gate': ?repformer.attn2_has_gate=false?, "
    "'activation_function': ?repformer.activation_function='tanh'?, "
    "'update_style': ?repformer.update_style='res_avg'?, "
    "'update_residual': ?repformer.update_residual=0.001?, "
    "'update_residual_init': ?repformer.update_residual_init='norm'?, "
    "'set_davg_zero': ?repformer.set_davg_zero=true?, 'trainable_ln': ?repformer.trainable_ln=true?, "
    "'use_sqrt_nnei': ?repformer.use_sqrt_nnei=true?, 'g1_out_conv': ?repformer.g1_out_conv=true?, "
    "'g1_out_mlp': ?repformer.g1_out_mlp=true?, 'ln_eps': $ln_eps$}, "
    "'concat_output_tebd': ?concat_output_tebd=true?, 'precision': $precision$, 'smooth': ?smooth=true?, "
    "'exclude_types': $exclude$, 'env_protection': $protection$, 'trainable': true, "
    "'add_tebd_to_repinit_out': ?add_tebd_to_repinit_out=false?, 'use_econf_tebd': ?use_econf_tebd=false?, "
    "'use_tebd_bias': ?use_tebd_bias=false?, 'type_map': $type_map$~tebd_transform=tebd_transform;none;false~"
    "~g1_shape_tranform=g1_shape_tranform;none;false~";

/* rcut, rcut_smth are variables. */
static const char descriptor_dpa2_repinit[] =
    "'env_mat': " ENV_MAT("$rcut$", "$rcut_smth$", "0.0") ", "
    "'@variables': {'davg': ^mean^, 'dstd': ^stddev^}, "
    "'embeddings': #filter_layers.networks|embeddings._module_networks|"
    "embeddings._networks;embedding_network;0#";

static const char descriptor_se_t_tebd_strip[] =
    ", 'embeddings_strip': #se_ttebd.filter_layers_strip.networks|se_ttebd.embeddings_strip._module_networks|"
    "se_ttebd.embeddings_strip._networks;embedding_network;0#";

static const char descriptor_dpa1_strip[] =
    ", 'embeddings_strip': #se_atten.filter_layers_strip.networks|se_atten.embeddings_strip._module_networks|"
    "se_atten.embeddings_strip._networks;embedding_network;0#";

static const char descriptor_strip[] =
    ", 'embeddings_strip': #filter_layers_strip.networks|embeddings_strip._module_networks|"
    "embeddings_strip._networks;embedding_network;0#";

static const char descriptor_dpa2_repformers[] =
    "'g2_embd': %g2_embd;none;false%, "
    "'env_mat': " ENV_MAT("?repformer.rcut?", "?repformer.rcut_smth?", "0.0") ", "
    "'@variables': {'davg': ^mean^, 'dstd': ^stddev^}, 'repformer_layers': [";

/* names are below repformers.layers.K.; update_chnnl_2 is false in the last layer. */
static const char descriptor_dpa2_layer[] =
    "{'@class': 'RepformerLayer', '@version': 2, 'rcut': ?repformer.rcut?, "
    "'rcut_smth': ?repformer.rcut_smth?, "
    "'sel': [?repformer.nsel?], 'ntypes': $ntypes$, 'g1_dim': $g1_dim$, 'g2_dim': $g2_dim$, "
    "'axis_neuron': ?repformer.axis_neuron=4?, 'update_chnnl_2': $update_chnnl_2$, "
    "'update_g1_has_conv': ?repformer.update_g1_has_conv=true?, "
    "'update_g1_has_drrd': ?repformer.update_g1_has_drrd=true?, "
    "'update_g1_has_grrg': ?repformer.update_g1_has_grrg=true?, "
    "'update_g1_has_attn': ?repformer.update_g1_has_attn=true?, 'update_g2_has_g1g1': $g2_has_g1g1$, "
    "'update_g2_has_attn': $g2_has_attn$, 'update_h2': $update_h2$, "
    "'attn1_hidden': ?repformer.attn1_hidden=64?, 'attn1_nhead': ?repformer.attn1_nhead=4?, "
    "'attn2_hidden': ?repformer.attn2_hidden=16?, 'attn2_nhead': ?repformer.attn2_nhead=4?, "
    "'attn2_has_gate': ?repformer.attn2_has_gate=false?, "
    "'activation_function': ?repformer.activation_function='tanh'?, "
    "'update_style': ?repformer.update_style='res_avg'?, 'smooth': ?smooth=true?, 'precision': $precision$, "
    "'trainable_ln': ?repformer.trainable_ln=true?, 'use_sqrt_nnei': ?repformer.use_sqrt_nnei=true?, "
    "'g1_out_conv': ?repformer.g1_out_conv=true?, 'g1_out_mlp': ?repformer.g1_out_mlp=true?, "
    "'ln_eps': $ln_eps$, "
    "'linear1': %linear1;none;false%~linear2=linear2;none;false~~proj_g1g2=proj_g1g2;none;false~"
    "~proj_g1g1g2=proj_g1g1g2;none;false~~g1_self_mlp=g1_self_mlp;none;false~";

static const char descriptor_dpa2_attn2g[] =
    ", 'attn2g_map': {'@class': 'Atten2Map', '@version': 1, 'input_dim': $g2_dim$, "
    "'hidden_dim': ?repformer.attn2_hidden=16?, 'head_num': ?repformer.attn2_nhead=4?, "
    "'has_gate': ?repformer.attn2_has_gate=false?, 'smooth': ?smooth=true?, 'attnw_shift': 20.0, "
    "'precision': $precision$, 'mapqk': %attn2g_map.mapqk;none;false%}";

static const char descriptor_dpa2_attn2_mh[] =
    ", 'attn2_mh_apply': {'@class': 'Atten2MultiHeadApply', '@version': 1, 'input_dim': $g2_dim$, "
    "'head_num': ?repformer.attn2_nhead=4?, 'precision': $precision$, "
    "'mapv': %attn2_mh_apply.mapv;none;false%, "
    "'head_map': %attn2_mh_apply.head_map;none;false%}, 'attn2_lm': {'@class': 'LayerNorm', '@version': 1, "
    "'eps': $ln_eps$, 'trainable': true, 'precision': $precision$, "
    "'@variables': {'w': ^attn2_lm.matrix|attn2_lm.w^, 'b': ^attn2_lm.bias|attn2_lm.b^}}";

static const char descriptor_dpa2_attn2_ev[] =
    ", 'attn2_ev_apply': {'@class': 'Atten2EquiVarApply', '@version': 1, 'input_dim': $g2_dim$, "
    "'head_num': ?repformer.attn2_nhead=4?, 'precision': $precision$, "
    "'head_map': %attn2_ev_apply.head_map;none;false%}";

static const char descriptor_dpa2_loc[] =
    ", 'loc_attn': {'@class': 'LocalAtten', '@version': 1, 'input_dim': $g1_dim$, "
    "'hidden_dim': ?repformer.attn1_hidden=64?, 'head_num': ?repformer.attn1_nhead=4?, "
    "'smooth': ?smooth=true?, "
    "'attnw_shift': 20.0, 'precision': $precision$, 'mapq': %loc_attn.mapq;none;false%, "
    "'mapkv': %loc_attn.mapkv;none;false%, 'head_map': %loc_attn.head_map;none;false%}";

static const char descriptor_dpa2_residual[] =
    ", '@variables': {'g1_residual': [*g1_residual*], 'g2_residual': [*g2_residual*], "
    "'h2_residual': [*h2_residual*]}";

/* DPA4C is in pt_expt only. Of its parts' own settings those that repeat the descriptor's are left out. */
#define SWIGLU(names, scale)                                                                                 \
    "{'@class': 'SwiGLUMLP', '@version': 1, 'output_scale': " scale ", '@variables': {'0.matrix': ^" names   \
    ".layers.0.w^, '1.matrix': ^" names ".layers.1.w^}}"
#define SEZM_TABLE(names)                                                                                    \
    "{'@class': 'SeZMTypeEmbedding', '@version': 1, '@variables': {'adam_type_embedding': ^" names           \
    ".adam_type_embedding^}}"

static const char descriptor_dpa4c[] =
    "{'@class': 'Descriptor', 'type': 'dpa4c', '@version': 1, 'rcut': ?rcut=6.0?, 'ntypes': $ntypes$, "
    "'channels': ?channels=32?, 'lmax': $lmax$, 'basis_type': ?basis_type='bessel'?, "
    "'n_radial': ?n_radial=16?, "
    "'radial_modes': ?radial_modes=0?, 'exclude_types': $exclude$, 'precision': $precision$, "
    "'trainable': true, "
    "'type_map': $type_map$, 'add_chg_spin_ebd': $charge_spin$, "
    "'default_chg_spin': ?default_chg_spin=null?, 'spin': null, "
    "'type_embedding': " SEZM_TABLE("type_embedding") ", "
    "'radial_basis': {'@class': 'RadialBasis', '@version': 1, 'config': {'rcut': ?rcut=6.0?, "
    "'basis_type': ?basis_type='bessel'?}, '@variables': {'adam_freqs': ^radial_basis.adam_freqs^}}, "
    "'radial_embedding': " SWIGLU("radial_embedding", "1.0")
    "~radial_mode_head=radial_mode_head;none;false~, "
    "'@variables': {'mean': ^mean^, 'stddev': ^stddev^}, "
    "'pair_film': {'@class': 'OrderedPairFiLM', '@version': 1, "
    "'network': " SWIGLU("pair_film.network", "0.1");

static const char descriptor_dpa4c_plain[] = "}, 'use_spin': null, 'spin_channels': null";

/* pt_expt has the spins' weights below "spin". */
static const char descriptor_dpa4c_spins[] =
    ", '@variables': {'adam_spin_scale_anchor': ^pair_film.adam_spin_scale_anchor^, "
    "'adam_spin_shift_anchor': ^pair_film.adam_spin_shift_anchor^}}, 'use_spin': $native_spin$, "
    "'spin_channels': {'@class': 'SpinChannels', '@version': 1, '@variables': {"
    "'spin_reference': ^spin.spin_reference^, 'adam_spin_vector_weight': ^spin.adam_spin_vector_weight^, "
    "'adam_spin_quadrupole_weight': ^spin.adam_spin_quadrupole_weight^, 'spin_gate': ^spin.spin_gate^}}";

static const char descriptor_dpa4c_readout[] =
    ", 'readout': {'@class': 'InvariantReadout', '@version': 1, "
    "'channel_alignment': [%readout.channel_alignment.0;none;true%, "
    "%readout.channel_alignment.1;none;true%], "
    "'probe_projections': [";

static const char descriptor_dpa4c_charge[] =
    ", 'charge_spin_embedding': {'@class': 'ChargeStateEmbedding', '@version': 1, "
    "'charge_embedding': " SEZM_TABLE("charge_spin_embedding.charge_embedding") ", "
    "'spin_embedding': " SEZM_TABLE("charge_spin_embedding.spin_embedding") ", "
    "'network': " SWIGLU("charge_spin_embedding.network", "1.0") "}";
