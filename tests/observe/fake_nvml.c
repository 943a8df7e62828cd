/* A driver library of two GPUs, for machines that have none: what pynvml loads as libnvidia-ml.so.1.
   GPU 0 tells everything. GPU 1 tells nothing but its name and UUID, as a MIG slice or a virtual GPU does. */
#include <stdio.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6 };
typedef struct { int index; } Gpu;
static Gpu gpus[2] = {{0}, {1}};
static const char *uuids[2] = {"GPU-11111111-aaaa-bbbb-cccc-000000000001", "MIG-22222222-aaaa-bbbb-cccc-000000000002"};
static unsigned looks; /* power rises by 10 W with each look */

int nvmlInitWithFlags(unsigned flags) { (void)flags; return SUCCESS; }
int nvmlSystemGetDriverVersion(char *version, unsigned length) {
    snprintf(version, length, "999.12.3");
    return SUCCESS;
}
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, Gpu **gpu) {
    if (i > 1) return INVALID_ARGUMENT;
    *gpu = &gpus[i];
    return SUCCESS;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, Gpu **gpu) {
    for (int i = 0; i < 2; ++i)
        if (!strcmp(uuid, uuids[i])) { *gpu = &gpus[i]; return SUCCESS; }
    return NOT_FOUND;
}
int nvmlDeviceGetName(Gpu *gpu, char *name, unsigned length) {
    snprintf(name, length, "Fake %d", gpu->index);
    return SUCCESS;
}
int nvmlDeviceGetUUID(Gpu *gpu, char *uuid, unsigned length) {
    snprintf(uuid, length, "%s", uuids[gpu->index]);
    return SUCCESS;
}
int nvmlDeviceGetUtilizationRates(Gpu *gpu, unsigned *percent) {
    if (gpu->index) return NOT_SUPPORTED;
    percent[0] = 83;
    percent[1] = 40;
    return SUCCESS;
}
int nvmlDeviceGetMemoryInfo(Gpu *gpu, unsigned long long *bytes) {
    if (gpu->index) return NOT_SUPPORTED;
    bytes[0] = 80ull << 30;
    bytes[1] = 78ull << 30;
    bytes[2] = 2ull << 30;
    return SUCCESS;
}
int nvmlDeviceGetPowerUsage(Gpu *gpu, unsigned *milliwatts) {
    if (gpu->index) return NOT_SUPPORTED;
    *milliwatts = 200500 + 10000 * looks++;
    return SUCCESS;
}
int nvmlDeviceGetTemperature(Gpu *gpu, int sensor, unsigned *celsius) {
    if (gpu->index || sensor != 0) return NOT_SUPPORTED;
    *celsius = 61;
    return SUCCESS;
}
int nvmlDeviceGetClockInfo(Gpu *gpu, int kind, unsigned *mhz) {
    if (gpu->index || kind != 1) return NOT_SUPPORTED;
    *mhz = 1755;
    return SUCCESS;
}
int nvmlDeviceGetCurrentClocksEventReasons(Gpu *gpu, unsigned long long *reasons) {
    if (gpu->index) return NOT_SUPPORTED;
    *reasons = 0x01 | 0x04 | 0x40;
    return SUCCESS;
}
