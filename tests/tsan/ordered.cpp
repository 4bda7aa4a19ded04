// The other half: what OpenMP's own barriers, critical sections and reductions order must not be reported.
#include <cstdio>

int main() {
    int sum = 0;
    int guarded = 0;
    int stages[2] = {0, 0};
#pragma omp parallel num_threads(2) reduction(+ : sum)
    {
#pragma omp single
        stages[0] = 1;
        sum += stages[0];
#pragma omp critical
        ++guarded;
#pragma omp barrier
#pragma omp single
        stages[1] = guarded;
        sum += stages[1];
    }
    std::printf("%d\n", sum);
    return sum > 0 ? 0 : 1;
}
