/* Processes that mpirun started. MPI's own errors end the program (its default), so calls to it are
 * not checked. */
#include "dist.h"
#include <mpi.h>
#include <stdint.h>
#include <string.h>

/* MPI counts in int. */
#define PIECE ((size_t)1 << 30)
enum { TAG_BYTES = 1 };

prelu_status train_dist_begin(int *argc, char ***argv, prelu_err *err)
{
    int level = 0;
    if (MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS)
        return prelu_fail(err, PRELU_E_INTERNAL, "MPI does not start");
    if (level < MPI_THREAD_FUNNELED)
        return prelu_fail(err, PRELU_E_INTERNAL, "this MPI does not allow threads");
    return PRELU_OK;
}

int train_dist_end(int code)
{
    if (code && train_dist_size() > 1)
        MPI_Abort(MPI_COMM_WORLD, code);
    MPI_Finalize();
    return code;
}

int train_dist_rank(void)
{
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    return rank;
}

int train_dist_size(void)
{
    int size = 1;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    return size;
}

prelu_status train_dist_agree(prelu_status st, prelu_err *err)
{
    const int size = train_dist_size();
    int mine = st ? train_dist_rank() : size, first = size, code = st;
    MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (first == size)
        return PRELU_OK;
    MPI_Bcast(&code, 1, MPI_INT, first, MPI_COMM_WORLD);
    return st ? st : prelu_fail(err, (prelu_status)code, "process %d failed", first);
}

prelu_status train_dist_same(const char *what, const void *data, size_t len, prelu_err *err)
{
    /* FNV-1a: a mistake is to be found, not an attack */
    uint64_t mine[2] = {14695981039346656037U, len}, root[2];
    const uint8_t *bytes = data;
    for (size_t i = 0; i < len; i++)
        mine[0] = (mine[0] ^ bytes[i]) * 1099511628211U;
    memcpy(root, mine, sizeof root);
    MPI_Bcast(root, 2, MPI_UINT64_T, 0, MPI_COMM_WORLD);
    int other = memcmp(root, mine, sizeof root) ? train_dist_rank() : train_dist_size();
    MPI_Allreduce(MPI_IN_PLACE, &other, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (other < train_dist_size())
        return prelu_fail(err, PRELU_E_ARG, "%s of process %d is not that of process 0", what,
                          other);
    return PRELU_OK;
}

size_t train_dist_total(size_t len)
{
    uint64_t total = len;
    MPI_Allreduce(MPI_IN_PLACE, &total, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    return (size_t)total;
}

static void send_bytes(const uint8_t *data, size_t len)
{
    for (size_t at = 0; at < len; at += PIECE)
        MPI_Send(data + at, (int)(len - at < PIECE ? len - at : PIECE), MPI_BYTE, 0, TAG_BYTES,
                 MPI_COMM_WORLD);
}

static void receive_bytes(uint8_t *data, size_t len, int from)
{
    for (size_t at = 0; at < len; at += PIECE)
        MPI_Recv(data + at, (int)(len - at < PIECE ? len - at : PIECE), MPI_BYTE, from, TAG_BYTES,
                 MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

prelu_status train_dist_gather(const void *mine, size_t len, void *all, size_t all_len,
                               prelu_err *err)
{
    const size_t total = train_dist_total(len);
    uint64_t length = len;
    size_t at = len;
    int ok = train_dist_rank() != 0 || total == all_len;
    MPI_Bcast(&ok, 1, MPI_INT, 0, MPI_COMM_WORLD);
    if (!ok)
        return prelu_fail(err, PRELU_E_FORMAT, "%zu bytes gathered, not %zu", total, all_len);
    if (train_dist_rank()) {
        MPI_Send(&length, 1, MPI_UINT64_T, 0, TAG_BYTES, MPI_COMM_WORLD);
        send_bytes(mine, len);
        return PRELU_OK;
    }
    if (len)
        memcpy(all, mine, len);
    for (int from = 1; from < train_dist_size(); from++) {
        MPI_Recv(&length, 1, MPI_UINT64_T, from, TAG_BYTES, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        receive_bytes((uint8_t *)all + at, (size_t)length, from);
        at += (size_t)length;
    }
    return PRELU_OK;
}

/* Summed on one process and handed out, so that no algorithm of MPI's choosing can give the
 * processes different bits. */
static void sum(void *x, size_t n, MPI_Datatype type, size_t size)
{
    for (size_t at = 0; at < n; at += PIECE / 8) {
        const int count = (int)(n - at < PIECE / 8 ? n - at : PIECE / 8);
        void *piece = (uint8_t *)x + at * size;
        MPI_Reduce(train_dist_rank() ? piece : MPI_IN_PLACE, piece, count, type, MPI_SUM, 0,
                   MPI_COMM_WORLD);
        MPI_Bcast(piece, count, type, 0, MPI_COMM_WORLD);
    }
}

void train_dist_sum_floats(float *x, size_t n) { sum(x, n, MPI_FLOAT, sizeof *x); }

void train_dist_sum_doubles(double *x, size_t n) { sum(x, n, MPI_DOUBLE, sizeof *x); }

size_t train_dist_before(size_t n)
{
    uint64_t mine = n, before = 0;
    MPI_Exscan(&mine, &before, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    return train_dist_rank() ? (size_t)before : 0;
}
