/* cuDNN, cuBLAS and NCCL that compute nothing: every call that would launch a kernel is counted by what it does. */
#include "null.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A handle is a block of zeros; its first word is the stream that the library was given. */
static int make(void **handle) {
  *handle = calloc(1, 4096);
  return 0;
}
static int launch(const char *name, void *handle) { return null_launch(name, *(void **)handle); }

/* ---- cuDNN */

int cudnnCreate(void **handle) { return make(handle); }
int cudnnSetStream(void **handle, void *stream) {
  *handle = stream;
  return 0;
}
int cudnnGetStream(void **handle, void **stream) {
  *stream = *handle;
  return 0;
}
size_t cudnnGetVersion(void) { return 92400; }
size_t cudnnGetCudartVersion(void) { return 13000; }
const char *cudnnGetErrorString(int code) { return "cuDNN of the null GPU"; }
void cudnnGetLastErrorString(char *text, size_t n) {
  if (n) *text = 0;
}
int cudnnGetProperty(int which, int *value) {
  *value = which == 0 ? 9 : which == 1 ? 24 : 0;
  return 0;
}
int cudnnCreateTensorDescriptor(void **descriptor) { return make(descriptor); }
int cudnnCreateFilterDescriptor(void **descriptor) { return make(descriptor); }
int cudnnCreateConvolutionDescriptor(void **descriptor) { return make(descriptor); }
int cudnnCreateActivationDescriptor(void **descriptor) { return make(descriptor); }
int cudnnCreatePoolingDescriptor(void **descriptor) { return make(descriptor); }
int cudnnCreateDropoutDescriptor(void **descriptor) { return make(descriptor); }

int cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(void *h, int mode, int ops, void *x, void *z, void *y,
                                                             void *scale, void *activation, size_t *size) {
  *size = 0;
  return 0;
}
int cudnnGetBatchNormalizationTrainingExReserveSpaceSize(void *h, int mode, int ops, void *act, void *x, size_t *size) {
  *size = 0;
  return 0;
}
int cudnnGetBatchNormalizationBackwardExWorkspaceSize(void *h, int mode, int ops, void *x, void *y, void *dy, void *dz,
                                                      void *dx, void *scale, void *activation, size_t *size) {
  *size = 0;
  return 0;
}
int cudnnBatchNormalizationForwardTrainingEx(void *h) { return launch("cudnn batch norm", h); }
int cudnnBatchNormalizationBackwardEx(void *h) { return launch("cudnn batch norm backward", h); }
int cudnnBatchNormalizationForwardInference(void *h) { return launch("cudnn batch norm inference", h); }
int cudnnPoolingForward(void *h) { return launch("cudnn pooling", h); }

/* The backend, which convolutions go through: one engine without choices (knobs) that needs no workspace. */
enum { ENGINE_RESULTS = 202, WORKSPACE_SIZE = 401, KNOB_INFO = 1301, NUMERICAL_NOTES = 1302, LAYOUTS = 1303, BEHAVIOURS = 1304 };
enum { TYPE_BOOLEAN = 3, TYPE_DESCRIPTOR = 15 };
int cudnnBackendCreateDescriptor(int type, void **descriptor) { return make(descriptor); }
int cudnnBackendDestroyDescriptor(void *descriptor) { return 0; }
int cudnnBackendInitialize(void *descriptor) { return 0; }
int cudnnBackendFinalize(void *descriptor) { return 0; }
int cudnnBackendSetAttribute(void *descriptor, int name, int type, int64_t n, const void *value) { return 0; }
int cudnnBackendGetAttribute(void *descriptor, int name, int type, int64_t wanted, int64_t *n, void *value) {
  int64_t found = wanted > 0;
  if (name == ENGINE_RESULTS) found = 1;
  if (name == KNOB_INFO || name == NUMERICAL_NOTES || name == LAYOUTS || name == BEHAVIOURS) found = 0;
  if (n) *n = found;
  if (!found || !value || type == TYPE_DESCRIPTOR || name == ENGINE_RESULTS) return 0;
  memset(value, 0, name == WORKSPACE_SIZE ? 8 : type == TYPE_BOOLEAN ? 1 : 4);
  return 0;
}
int cudnnBackendExecute(void *h, void *plan, void *pack) { return launch("cudnn convolution", h); }

/* ---- cuBLAS */

int cublasCreate_v2(void **handle) { return make(handle); }
int cublasSetStream_v2(void **handle, void *stream) {
  *handle = stream;
  return 0;
}
int cublasGetStream_v2(void **handle, void **stream) {
  *stream = *handle;
  return 0;
}
int cublasGetMathMode(void *h, int *mode) {
  *mode = 0;
  return 0;
}
int cublasGetPointerMode_v2(void *h, int *mode) {
  *mode = 0;
  return 0;
}
int cublasGemmEx(void *h) { return launch("cublas product", h); }
int cublasSgemm_v2(void *h) { return launch("cublas product", h); }
int cublasDgemm_v2(void *h) { return launch("cublas product", h); }
int cublasGemmStridedBatchedEx(void *h) { return launch("cublas product", h); }
int cublasSdot_v2(void *h) { return launch("cublas dot product", h); }
size_t cublasLtGetVersion(void) { return 130000; }
int cublasLtMatmulAlgoGetHeuristic(void *h, void *what, void *a, void *b, void *c, void *d, void *preference, int wanted,
                                   void *results, int *found) {
  memset(results, 0, 16 * 8 + 64); /* one result of no workspace */
  *found = 1;
  return 0;
}
int cublasLtMatmul(void *h, void *what, const void *alpha, const void *a, void *la, const void *b, void *lb,
                   const void *beta, const void *c, void *lc, void *d, void *ld, const void *algorithm, void *workspace,
                   size_t size, void *stream) {
  return null_launch("cublas product", stream);
}

/* ---- NCCL: the other ranks say what this one says */

typedef struct {
  char bytes[128];
} unique_id;
static const int width[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1}; /* bytes of ncclDataType_t */

static int join(int **communicator, int ranks) {
  *communicator = calloc(1, 256);
  **communicator = ranks;
  return 0;
}
int ncclGetVersion(int *version) {
  *version = 22907;
  return 0;
}
int ncclGetUniqueId(char *id) {
  memset(id, 0, 128);
  return 0;
}
int ncclCommInitRank(int **c, int ranks, unique_id id, int rank) { return join(c, ranks); }
int ncclCommInitRankConfig(int **c, int ranks, unique_id id, int rank, void *config) { return join(c, ranks); }
int ncclCommInitRankScalable(int **c, int ranks, int rank, int n, unique_id *ids, void *config) { return join(c, ranks); }
int ncclCommSplit(int *c, int colour, int key, int **part, void *config) { return join(part, *c); }
int ncclCommCount(int *c, int *ranks) {
  *ranks = *c;
  return 0;
}
int ncclCommGetAsyncError(void *c, int *code) {
  *code = 0;
  return 0;
}
int ncclCommCuDevice(void *c, int *device) {
  *device = 0;
  return 0;
}
const char *ncclGetErrorString(int code) { return "NCCL of the null GPU"; }
const char *ncclGetLastError(void *c) { return ""; }
int ncclAllReduce(const void *from, void *to, size_t n, int type, int op, void *c, void *stream) {
  if (from != to) memcpy(to, from, n * width[type]);
  return null_launch("nccl all-reduce", stream);
}
int ncclBroadcast(const void *from, void *to, size_t n, int type, int root, void *c, void *stream) {
  if (from != to) memcpy(to, from, n * width[type]);
  return null_launch("nccl broadcast", stream);
}
int ncclBcast(void *p, size_t n, int type, int root, void *c, void *stream) {
  return null_launch("nccl broadcast", stream);
}
int ncclAllGather(const void *from, void *to, size_t n, int type, int *c, void *stream) {
  for (int i = 0; i < *c; i++) memmove((char *)to + i * n * width[type], from, n * width[type]);
  return null_launch("nccl all-gather", stream);
}

/* ---- what Triton links against of the driver, without calling it here (apart from driver.c: cuda.h has other types) */

int cuTensorMapEncodeTiled(void) { return 0; }
int cuTensorMapEncodeIm2col(void) { return 0; }
int cuMemGetAllocationGranularity(void) { return 1; }
int cuLinkCreate_v2(void) { return 1; }
int cuLinkAddData_v2(void) { return 1; }
int cuLinkComplete(void) { return 1; }
int cuMemcpyDtoH_v2(void) { return 0; }
int cuMemcpyHtoD_v2(void) { return 0; }
int cuMemAlloc_v2(unsigned long long *p, size_t size) {
  *p = (unsigned long long)malloc(size);
  return 0;
}
int cuMemFree_v2(void) { return 0; }
int cuGetProcAddress_v2(const char *name, void **function, int version, unsigned long long flags, void *status) {
  *function = 0;
  return 1;
}
