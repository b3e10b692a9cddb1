/* All kernels, for both element types. */
#include "kernel.h"

#include "tensor.h"

#include "cuda/kernel_arguments.h"

#define DGNN_REAL_BITS 32
#include "activation_body.h"
#include "product_body.h"
#include "product_tensor_body.h"
#include "rows_body.h"
#include "repflow_forward_body.h"
#include "repflow_backward_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "activation_body.h"
#include "product_body.h"
#include "product_tensor_body.h"
#include "rows_body.h"
#include "repflow_forward_body.h"
#include "repflow_backward_body.h"
